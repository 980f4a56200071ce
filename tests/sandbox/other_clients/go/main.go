// Drive Keyfactor's own Go SDK: built and run by test_other_clients.py.
//
// Reads {"server": {...}, "calls": [[name, argument, ...], ...]} from stdin, where server is one of the SDK's own
// configuration file, and prints one list: for each call its HTTP status, and what the SDK made of the body, or its
// error.
package main

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"os"

	"github.com/Keyfactor/keyfactor-auth-client-go/auth_providers"
	v1 "github.com/Keyfactor/keyfactor-go-client-sdk/v25/api/keyfactor/v1"
)

type task struct {
	Server auth_providers.Server `json:"server"`
	Calls  [][]json.RawMessage   `json:"calls"`
}

type result struct {
	HTTPStatus int    `json:"http_status"`
	Parsed     any    `json:"parsed"`
	Error      string `json:"error,omitempty"`
}

func main() {
	log.SetOutput(io.Discard) // the SDK writes its requests there, with their credentials
	var given task
	if err := json.NewDecoder(os.Stdin).Decode(&given); err != nil {
		panic(err)
	}
	client, err := v1.NewAPIClient(&given.Server)
	if err != nil {
		panic(err)
	}
	results := []result{}
	for _, call := range given.Calls {
		results = append(results, perform(client.WorkflowInstanceApi, call))
	}
	if err := json.NewEncoder(os.Stdout).Encode(results); err != nil {
		panic(err)
	}
}

func perform(api *v1.WorkflowInstanceApiService, call []json.RawMessage) result {
	ctx := context.Background()
	switch name := text(call[0]); name {
	case "get":
		instance, response, err := api.NewGetWorkflowInstancesInstanceIdRequest(ctx, text(call[1])).Execute()
		return told(instance, response, err)
	case "query":
		rows, response, err := api.NewGetWorkflowInstancesRequest(ctx).QueryString(text(call[1])).Execute()
		return told(rows, response, err)
	case "signal":
		body := v1.NewWorkflowsSignalRequest()
		body.SetSignalKey(text(call[2]))
		if err := json.Unmarshal(call[3], &body.Data); err != nil {
			panic(err)
		}
		request := api.NewCreateWorkflowInstancesInstanceIdSignalsRequest(ctx, text(call[1]))
		response, err := request.WorkflowsSignalRequest(*body).Execute()
		return told(nil, response, err)
	default:
		panic("no call " + name)
	}
}

func text(raw json.RawMessage) string {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		panic(err)
	}
	return text
}

func told(parsed any, response *http.Response, err error) result {
	told := result{Parsed: parsed}
	if response != nil {
		told.HTTPStatus = response.StatusCode
	}
	if err != nil {
		told.Parsed, told.Error = nil, err.Error()
	}
	return told
}
