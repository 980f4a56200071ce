"""
Keyfactor Command over HTTP: who asks, how, and what the answers are. Knows nothing of Pulumi.
"""
