#include "analysis/report/html_style.h"

#include <stddef.h>

/* clang-format off */
const char sonde_html_style[] =
    ":root{--paper:#fff;--ink:#1c1c1c;--soft:#5a5a5a;--line:#d9d9d9;--box:#f5f6f8;--link:#0a58a8;\n"
    "--good:#17692f;--bad:#b3261e;--warn:#fff4d6;--warn-line:#d9a400}\n"
    "@media (prefers-color-scheme:dark){:root{--paper:#16181c;--ink:#e6e6e6;--soft:#a8adb5;\n"
    "--line:#3a3f47;--box:#1f2329;--link:#7db7f5;--good:#6fcf87;--bad:#ff8a80;--warn:#3a3115;\n"
    "--warn-line:#a88300}}\n"
    "*{box-sizing:border-box}\n"
    "html{scroll-behavior:smooth}\n"
    "body{margin:0 auto;padding:1.5rem;max-width:80rem;background:var(--paper);color:var(--ink);\n"
    "font:16px/1.5 system-ui,'DejaVu Sans',Verdana,sans-serif}\n"
    "a{color:var(--link);text-decoration:none}a:hover,a:focus{text-decoration:underline}\n"
    "h1{font-size:1.8rem;line-height:1.2;margin:0 0 .3rem}\n"
    "header p{color:var(--soft);margin:0 0 1rem}\n"
    "h2{font-size:1.3rem;margin:0 0 .6rem;overflow-wrap:anywhere}\n"
    "h3{font-size:1rem;margin:1.4rem 0 .4rem;overflow-wrap:anywhere}\n"
    "small{color:var(--soft);font-weight:normal;font-size:.85em}\n"
    "nav{background:var(--box);border:1px solid var(--line);border-radius:8px;"
    "padding:.8rem 1.2rem;\n"
    "margin-bottom:1.5rem;max-height:24rem;overflow:auto}\n"
    "nav h2{font-size:1rem;margin:0}\n"
    "nav ol{margin:.4rem 0;padding-left:1.4rem}nav ul{margin:0;padding-left:1rem;font-size:.9em}\n"
    "section{border-top:2px solid var(--line);padding-top:1.2rem;margin-top:2rem}\n"
    "dl{display:flex;flex-wrap:wrap;gap:.4rem;margin:0}\n"
    "dl div{background:var(--box);border:1px solid var(--line);border-radius:6px;\n"
    "padding:.15rem .6rem;max-width:100%}\n"
    "dt{display:inline;color:var(--soft);font-size:.85em;margin-right:.5em}\n"
    "dd{display:inline;margin:0;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}\n"
    "figure{margin:1.2rem 0;overflow-x:auto;background:#fff;border:1px solid var(--line);\n"
    "border-radius:8px}\n"
    "figure svg,figure img{display:block;max-width:100%;height:auto;margin:0 auto}\n"
    "figure.whole svg,figure.whole img{max-width:none}\n"
    ".scroll{max-height:34rem;overflow:auto;border:1px solid var(--line);border-radius:8px}\n"
    "table{border-collapse:collapse;width:100%;font-size:.88rem}\n"
    "th,td{padding:.25rem .7rem;text-align:left;border-bottom:1px solid var(--line);\n"
    "white-space:pre-wrap;unicode-bidi:isolate;max-width:40rem;overflow-wrap:break-word}\n"
    "th{position:sticky;top:0;background:var(--box);white-space:nowrap}\n"
    "td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}\n"
    "tbody tr:hover{background:var(--box)}\n"
    ".note{color:var(--soft);font-size:.85rem;margin:.3rem 0}\n"
    ".checks{list-style:none;padding:0;margin:0}\n"
    ".checks b{display:inline-block;min-width:3.6em}.ok{color:var(--good)}.bad{color:var(--bad)}\n"
    ".warning{background:var(--warn);border-left:4px solid var(--warn-line);padding:.4rem .8rem;\n"
    "margin:.5rem 0;border-radius:0 6px 6px 0}\n"
    "footer{border-top:1px solid var(--line);margin-top:2.5rem;color:var(--soft);"
    "font-size:.85rem}\n"
    "footer p{margin:.3rem 0;overflow-wrap:anywhere}\n"
    "@media print{nav,.scroll{max-height:none;overflow:visible}figure{break-inside:avoid}}";
const char *const sonde_html_article_style[] = {
    ":root{--ink:#1b1d21;--soft:#5b6470;--line:#dde1e6;--box:#f6f7f9;--accent:#0a5c8f;",
    "--good:#17692f;",
    "--bad:#b3261e;--mark:#ffe9a8}",
    "*{box-sizing:border-box}",
    "html{-webkit-text-size-adjust:100%}",
    "body{margin:0 auto;padding:2.5rem 1.5rem;max-width:78rem;background:#fff;",
    "color:var(--ink);",
    "font:17px/1.6 Charter,'Bitstream Charter','Iowan Old Style',Georgia,'DejaVu Serif',",
    "serif}",
    "h1,h2,h3,nav,.numbers,.card,table,figure,summary,.caption,.checks,footer,.subtitle{",
    "font-family:system-ui,'Segoe UI','Helvetica Neue','DejaVu Sans',Arial,sans-serif}",
    "h1{font-size:2.5rem;line-height:1.1;letter-spacing:-.02em;margin:0 0 .4rem}",
    ".subtitle{color:var(--soft);font-size:1.05rem;margin:0 0 1.4rem}",
    ".lead{font-size:1.12rem}",
    "p{max-width:44rem;margin:0 0 .9rem}",
    "a{color:var(--accent);text-decoration:none}a:hover,a:focus{text-decoration:underline}",
    "code{font:.88em/1.5 ui-monospace,'SFMono-Regular',Menlo,'DejaVu Sans Mono',monospace;",
    "background:var(--box);border-radius:4px;padding:.08em .3em}",
    ".numbers{list-style:none;display:grid;grid-template-columns:repeat(auto-fit,",
    "minmax(13rem,1fr));",
    "gap:1rem;margin:1.8rem 0;padding:0}",
    ".numbers li{border-top:3px solid var(--accent);padding:.6rem 0 0;color:var(--soft);",
    "font-size:.86rem;line-height:1.4}",
    ".numbers b{display:block;font-size:2rem;line-height:1.15;color:var(--ink);",
    "font-weight:650;",
    "font-variant-numeric:tabular-nums;letter-spacing:-.02em}",
    "nav ol{list-style:none;counter-reset:n;display:flex;flex-wrap:wrap;gap:.4rem .5rem;",
    "margin:0;",
    "padding:0}",
    "nav li{counter-increment:n}",
    "nav a{display:block;border:1px solid var(--line);border-radius:99px;",
    "padding:.2rem .8rem;",
    "font-size:.82rem}",
    "nav a::before{content:counter(n) '\\2002';color:var(--soft)}",
    "section{border-top:1px solid var(--line);margin-top:2.6rem;padding-top:1.8rem}",
    "h2{font-size:1.55rem;line-height:1.2;letter-spacing:-.01em;margin:0 0 .8rem}",
    "h2 span{color:var(--accent);font-weight:400;margin-right:.35rem}",
    "h3{font-size:.8rem;letter-spacing:.04em;text-transform:uppercase;color:var(--accent);",
    "margin:0 0 .3rem}",
    "small{color:var(--soft);font-weight:normal}",
    ".figures{display:flex;flex-wrap:wrap;gap:1.2rem;margin:1.3rem 0;align-items:flex-start}",
    ".figures figure{flex:1 1 26rem;min-width:0;max-width:100%}",
    ".figures figure.grid{flex:1.5 1 34rem}.figures figure.whole{flex:1 1 100%}",
    ".beside{display:grid;grid-template-columns:minmax(0,25rem) minmax(0,1fr);",
    "gap:0 2.4rem;align-items:start}.beside .figures{margin:.3rem 0 0}",
    ".beside .claims{grid-template-columns:1fr;gap:1rem}",
    "figure{margin:0;overflow-x:auto;border:1px solid var(--line);border-radius:10px}",
    "figure svg,figure img{display:block;max-width:100%;height:auto;margin:0 auto}",
    "figure.whole svg,figure.whole img{max-width:none}",
    ".claims{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,26rem),",
    "1fr));",
    "gap:1.2rem 2.4rem;margin:1.3rem 0 .6rem}",
    ".claims p{margin:0;font-size:.97rem}",
    ".cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,21rem),",
    "1fr));",
    "gap:1rem;margin:1.3rem 0}",
    ".card{border:1px solid var(--line);border-radius:10px;padding:.9rem 1rem;",
    "font-size:.86rem;",
    "line-height:1.45}",
    ".card h3{font-size:.95rem;letter-spacing:0;text-transform:none;color:var(--ink)}",
    ".card small{display:block;font-size:.8rem}",
    ".lines{list-style:none;margin:.5rem 0;padding:0}",
    ".lines li{padding:.18rem 0;border-top:1px solid var(--box);overflow-wrap:anywhere}",
    "mark{background:var(--mark);color:inherit;border-radius:3px;padding:0 .1em}",
    ".chips{margin:.5rem 0 0;line-height:1.9}",
    ".chips span{display:inline-block;background:#e6f0f7;border-radius:5px;padding:0 .4rem;",
    "margin:.1rem 0;line-height:1.5}.chips .strong{background:var(--accent);color:#fff}",
    ".chips b{font-weight:600;color:var(--soft);font-size:.8rem}",
    ".caption{color:var(--soft);font-size:.86rem;margin:1.2rem 0 .4rem}",
    ".scroll{overflow:auto;max-height:30rem;margin:0 0 1rem}",
    "table{border-collapse:collapse;font-size:.84rem;line-height:1.35}",
    "th,td{padding:.3rem .9rem .3rem 0;text-align:left;border-bottom:1px solid var(--line);",
    "white-space:pre-wrap;vertical-align:top}",
    "th{color:var(--soft);font-weight:600;white-space:nowrap;position:sticky;top:0;",
    "background:#fff}",
    "td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap;",
    "padding-left:.9rem}",
    ".command{margin:1.1rem 0 0}",
    "summary{cursor:pointer;color:var(--soft);font-size:.8rem}",
    "pre{background:var(--box);border-radius:8px;padding:.8rem 1rem;margin:.4rem 0 0;",
    "overflow-x:auto;",
    "white-space:normal;overflow-wrap:anywhere}",
    "pre code{display:block;background:none;padding:.1rem 0 .1rem 1.6rem;text-indent:-1.6rem;",
    "font-size:.8rem}pre i{font-style:normal;color:var(--accent);white-space:nowrap}",
    ".checks{list-style:none;padding:0;margin:0;font-size:.88rem;line-height:1.8}",
    ".checks b{display:inline-block;min-width:3.6em}.ok{color:var(--good)}",
    ".bad{color:var(--bad)}",
    "footer{border-top:1px solid var(--line);margin-top:2.6rem;padding-top:.8rem;",
    "color:var(--soft);",
    "font-size:.8rem}",
    "footer p{margin:.2rem 0;max-width:none;overflow-wrap:anywhere}",
    "@media (max-width:40rem){body{padding:1.4rem 1rem;font-size:16px}h1{font-size:1.9rem}",
    ".numbers{grid-template-columns:1fr 1fr}.numbers b{font-size:1.5rem}",
    "figure svg,figure img{min-width:34rem}}",
    "@media (max-width:62rem){.beside{display:block}.beside .figures{margin:1.3rem 0}}",
    "@media print{body{padding:0;font-size:10.5pt}nav{display:none}section,figure,.card,",
    ".claims div{break-inside:avoid}section{break-inside:auto}.scroll{max-height:none;",
    "overflow:visible}",
    "a{color:inherit}}",
    NULL,
};
/* clang-format on */
