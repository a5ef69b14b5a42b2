#!/usr/bin/env python3
"""Stands in for `cml comment update` of CML 0.20.6, with the same strictness about arguments and the same flaws.

It finds the comment to update by its watermark, regardless of the author, and only among the first 30 comments.
"""

import argparse
import json
import os
import re
import sys
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

parser = argparse.ArgumentParser(prog="cml comment update", allow_abbrev=False)
parser.add_argument("markdown_file", type=Path)
parser.add_argument("--driver", choices=["github", "gitlab", "bitbucket"])
parser.add_argument("--log", choices=["error", "warn", "info", "debug"])
parser.add_argument("--repo")
parser.add_argument("--driver-token", "--token")
parser.add_argument("--target", default="auto")
parser.add_argument("--publish", choices=["true", "false"], default="true")
parser.add_argument("--watermark-title", default="")

if sys.argv[1:3] != ["comment", "update"]:
    sys.exit(f"cml: the stand-in has no command {sys.argv[1:3]}")
arguments = parser.parse_args(sys.argv[3:])
token = arguments.driver_token or os.environ.get("REPO_TOKEN") or os.environ.get("GITHUB_TOKEN")
if not token:
    sys.exit("cml: token not found")
address = urlsplit(arguments.repo or "")
if not address.netloc:
    sys.exit("cml: Invalid URL")
if arguments.driver != "github":
    sys.exit("cml: the stand-in only has the driver for GitHub")
target = re.fullmatch(r"pr/(\d+)", arguments.target)
if not target:
    sys.exit(f"cml: unsupported comment target {arguments.target!r}")
if arguments.publish == "true":
    sys.exit("cml: would send local files to a third party; the real one crashes on node 20 and newer")

report = arguments.markdown_file.read_text(encoding="utf-8")
title = f"CML watermark {arguments.watermark_title}".strip()
mark = re.compile(rf'!\[\]\(https://cml\.dev/watermark\.png#[0-9a-fA-F]+ "{re.escape(title)}"\)')
report += f'\n\n![](https://cml.dev/watermark.png#{os.environ["GITHUB_SHA"]} "{title}")'


def call(method, path, body=None):
    """Send a request to the API of the host, and return the answer."""
    request = urllib.request.Request(
        f"{address.scheme}://{address.netloc}/api/v3/repos{address.path}/{path}",
        method=method,
        headers={"Authorization": f"token {token}"},
        data=None if body is None else json.dumps(body).encode(),
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


marked = [comment for comment in call("GET", f"issues/{target[1]}/comments") if mark.search(comment["body"])]
if marked:
    print(call("PATCH", f"issues/comments/{marked[-1]['id']}", {"body": report})["html_url"])
else:
    print(call("POST", f"issues/{target[1]}/comments", {"body": report})["html_url"])
