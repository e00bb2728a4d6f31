"""Lists the tools of a gateway and calls each: URL, revision or `auto`, and the calls as JSON."""

import asyncio
import json
import sys

from mcp import Client


async def main() -> None:
    url, revision, calls = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    mode = "auto" if revision == "auto" else "legacy"
    async with Client(url, mode=mode) as client:
        tools = [tool.name for tool in (await client.list_tools()).tools]
        failed = {}
        for name in tools:
            result = await client.call_tool(name, calls[name])
            failed[name] = (result.structured_content or {}).get("error")
        print(json.dumps({"revision": client.protocol_version, "tools": tools, "failed": failed}))


asyncio.run(main())
