"""Text that does something where it is not shown as text: for tests of every place where text is shown."""

ELSEWHERE = "evil.invalid"
_TAKE = "window.taken=1"

HOSTILE = (
    f"<script>{_TAKE}</script>",
    f'<img src=x onerror="{_TAKE}"><img src=http://{ELSEWHERE}/a.png>',
    f"<svg onload={_TAKE}><a xlink:href='javascript:{_TAKE}'><text>x</text></a></svg>",
    f"![picture](http://{ELSEWHERE}/b.png)",
    f"[press](javascript:{_TAKE}) ![x][1]\n\n[1]: http://{ELSEWHERE}/m.png",
    f"<iframe src=http://{ELSEWHERE}/c></iframe><object data=http://{ELSEWHERE}/j></object>",
    f"<style>@import url(http://{ELSEWHERE}/d.css); body {{ display: none }}</style>",
    f"<div style='position:fixed;inset:0;z-index:99999;background:url(http://{ELSEWHERE}/e)'>over everything</div>",
    f"&lt;script&gt;{_TAKE}&lt;/script&gt; &#x3C;img src=x onerror={_TAKE}&#x3E;",
    "\u202egnp.exe\u202c \u2066left\u2069 \u200frtl",
    "zero\u200bwidth\u200d\ufeff\u2060\u00ad",
    "W" * 3_000,
    "\x1b[31mred\x1b[0m\x07\x08\r",
    f"{{{{constructor.constructor('{_TAKE}')()}}}} ${{{_TAKE}}} {{% raw %}} %{{customdata}} %{{x}}<extra></extra>",
    ":material/warning: :red[alarm] :red-background[wide] :rainbow[bow] :small[tiny] :badge[new]",
    f"$$\\href{{javascript:{_TAKE}}}{{x}} \\includegraphics{{http://{ELSEWHERE}/f.png}}$$ $\\frac{{1}}{{2}}$",
    "<!-- a comment --><![CDATA[<b>]]>",
    f"data:text/html,<script>{_TAKE}</script>",
    f'<a href="javascript:{_TAKE}">press</a><form action=http://{ELSEWHERE}/n><button>press</button></form>',
    ":smile: :rocket: :streamlit: :+1:",
    "nul\x00byte",
    f"<b>bold</b><br><sup>up</sup><span style='font-size:99px'>big</span><a href='http://{ELSEWHERE}/g'>g</a>",
    "# Heading\n\n---\n> quote\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```\ncode",
    "'; DROP TABLE run; -- \"",
    "Z" + "\u0335\u0321\u0489" * 200,
    "../../../../etc/passwd",
    f"<base href=http://{ELSEWHERE}/><meta http-equiv=refresh content='0;url=http://{ELSEWHERE}/h'>"
    f"<link rel=stylesheet href=http://{ELSEWHERE}/i.css><video src=http://{ELSEWHERE}/k autoplay>",
    f'=HYPERLINK("http://{ELSEWHERE}/l")',
)
"""Each tries something else: to run a script (it would set `window.taken`), to fetch from `ELSEWHERE`, to cover the
page, to be read as markdown, HTML, LaTeX, a directive of Streamlit, a template, a tag of Plotly, or to confuse."""
