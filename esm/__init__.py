"""AWS Lambda's event source mapping as an asyncio library."""
