"""The mappings of a SAM, CloudFormation or Serverless template, and of esm's own short file."""
