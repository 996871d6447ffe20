"""Image registries: the distribution API that all of them speak, and AWS ECR's own around it.

The only place that imports `boto3`, and only when it is used: the library takes 0.3 s.
"""
