"""What a tenant is charged as a FOCUS dataset: the FinOps Open Cost and Usage Specification, version 1.2."""
