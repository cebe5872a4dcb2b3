# The official client against `tidemill mcp`; fails at the first answer that is not as it should be.
import asyncio
import os
import sys

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client


def field(result, *names):
    for name in names:
        if hasattr(result, name):
            return getattr(result, name)
    raise AssertionError(f"none of {names} in {result}")


async def main(binary, place):
    server = StdioServerParameters(command=binary, args=["mcp"], env=dict(os.environ))
    async with stdio_client(server) as (read, write):
        async with ClientSession(read, write) as session:
            await session.initialize()

            async def call(tool, **arguments):
                result = await session.call_tool(tool, arguments)
                content = field(result, "structured_content", "structuredContent")
                return content, bool(field(result, "is_error", "isError"))

            async def good(tool, **arguments):
                content, is_error = await call(tool, **arguments)
                assert not is_error, (tool, content)
                return content

            tools = (await session.list_tools()).tools
            assert len(tools) == 11, [tool.name for tool in tools]

            task = await good("create_task", title=f"Made {place}", labels=["agent"])
            claimed = await good("claim_task", holder="client", id=task["id"], lease_seconds=60)
            assert claimed["status"] == "doing" and claimed["assignee"] == "client", claimed
            renewed = await good("claim_task", holder="client", id=task["id"], lease_seconds=600)
            assert renewed["lease"]["until"] > claimed["lease"]["until"], renewed
            taken, is_error = await call("claim_task", holder="other", id=task["id"])
            assert is_error and taken["status"] == 409 and taken["next"], taken

            await good("comment_task", id=task["id"], text="measured it")
            stale, is_error = await call("update_task", id=task["id"], version=1, title="late")
            assert is_error and stale["status"] == 412 and "again" in stale["next"], stale
            read = await good("get_task", id=task["id"])
            done = await good("update_task", id=task["id"], version=read["version"], status="done")
            assert done["status"] == "done" and done["comments"] == 1, done
            nothing = await good("claim_task", holder="client", role="nobody")
            assert nothing == {"task": None}, nothing

            await good("store_memory", scope="project", key=place, value="takes 20 minutes")
            value = await good("get_memory", scope="project", key=place)
            assert value["value"] == "takes 20 minutes" and value["author"] == "client", value
            for tool in ("search_tasks", "search_memory"):
                for _ in range(50):
                    word = "measured" if tool == "search_tasks" else "minutes"
                    hits = (await good(tool, query=word))["items"]
                    if hits:
                        break
                    await asyncio.sleep(0.1)
                assert hits, tool

            wrong, is_error = await call("create_task", titel="typo")
            assert is_error and "`titel`" in wrong["reason"] and "title" in wrong["reason"], wrong
            metrics, is_error = await call("read_metrics", prefix="tidemill_build")
            if place == "node":
                assert not is_error and len(metrics["samples"]) == 1, metrics
            else:
                assert is_error and "tidemill up" in metrics["reason"], metrics


asyncio.run(main(*sys.argv[1:]))
