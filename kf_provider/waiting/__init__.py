"""
Waiting for instances to be approved, without Pulumi and without HTTP.
"""
