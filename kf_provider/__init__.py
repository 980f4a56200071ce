"""Keyfactor Command workflow instances in Pulumi programs."""
