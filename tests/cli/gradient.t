# Recorded gradients: names, losses, sizes, and that they are gradients.

== gradients stand beside the values under names of their own
need models/tinystories-656k
$ sonde record $SHARED/models/tinystories-656k --text 'Once upon a time' --sites 'hook_embed,grad:resid,grad:blocks.1.attn.hook_pattern' -o s.db --json | python3 $CLI/js.py "[(x['stream'], x['space'], x['rows'], x['bytes']) for x in tab('streams')], r['parameters']['loss'], s['loss_mean'] > 0, s['sequences_by_layer']"
> ([('hook_embed', 'token', 6, 3072), ('grad:hook_embed', 'token', 6, 3072), ('grad:blocks.0.hook_resid_post', 'token', 6, 3072), ('grad:blocks.1.attn.hook_pattern', 'map', 1, 1152), ('grad:blocks.1.hook_resid_post', 'token', 6, 3072)], 'next-token', True, 0)
$ sonde record $SHARED/models/tinystories-656k --text 'Once upon a time' --sites 'hook_embed,grad:resid,grad:blocks.1.attn.hook_pattern' --dry-run --json | python3 $CLI/js.py "[(x['stream'], x['rows'], x['bytes']) for x in tab('streams')]"
> [('hook_embed', 6, 3072), ('grad:hook_embed', 6, 3072), ('grad:blocks.0.hook_resid_post', 6, 3072), ('grad:blocks.1.attn.hook_pattern', 1, 1152), ('grad:blocks.1.hook_resid_post', 6, 3072)]
$ sonde info s.db --json | python3 $CLI/js.py "[x['value'] for x in tab('origins') if x['property'] == 'options']"; sonde check s.db --full -q | tail -1
> ['{"sites":"hook_embed,grad:resid,grad:blocks.1.attn.hook_pattern","dtype":"f32","bos":"auto","max_tokens":0,"context":512,"loss":"next-token"}']
>   ok      store is whole: 0 (no problems)
$ for p in all 'grad:resid' 'grad:*,hook_embed'; do sonde export s.db --streams "$p" -o x.npz --json | python3 $CLI/js.py "[x['array'] for x in tab('arrays')]"; done; sonde export s.db --stream grad:l_out-1 -o x.npy -q; python3 $CLI/npy.py shape x.npy
> ['hook_embed']
> ['grad:hook_embed', 'grad:blocks.0.hook_resid_post', 'grad:blocks.1.hook_resid_post']
> ['hook_embed', 'grad:hook_embed', 'grad:blocks.0.hook_resid_post', 'grad:blocks.1.attn.hook_pattern/0', 'grad:blocks.1.hook_resid_post']
> export
>
> parameters
>   run   run-1
>   file  x.npy
>
> scalars
>   arrays  1
>   bytes   3072
>
> arrays
>   array                          dtype  shape     bytes
>   ─────────────────────────────  ─────  ────────  ─────
>   grad:blocks.1.hook_resid_post  f32    [6, 128]   3072
> <f4 False (6, 128) 768

== along a direction the gradient is the difference of the loss
need models/tinystories-656k
$ m=$SHARED/models/tinystories-656k; python3 $CLI/edit_check.py spread v.npy 128; for site in hook_embed blocks.0.hook_resid_post blocks.1.hook_mlp_out; do for x in low:-0.004 high:0.004; do sonde record $m --text 'Once upon a time' --sites logits -o ${x%:*}-$site.db --edit "add $site v.npy ${x#*:}" -q > /dev/null; sonde export ${x%:*}-$site.db --stream logits -o ${x%:*}.npy -q > /dev/null; done; sonde record $m --text 'Once upon a time' --sites grad:$site --loss logit:77 -o $site.db -q > /dev/null; sonde export $site.db --stream grad:$site -o g.npy -q > /dev/null; python3 $CLI/edit_check.py slope low.npy high.npy 77 0.004 g.npy v.npy; done
> True True
> True True
> True True

== gradients go through edits
need models/tinystories-656k
$ m=$SHARED/models/tinystories-656k; python3 $CLI/edit_check.py spread v.npy 128; e='project-out blocks.1.hook_resid_pre v.npy'; f='skip 1.attn'; for x in low:-0.004 high:0.004; do sonde record $m --text 'Once upon a time' --sites logits -o ${x%:*}.db --edit "add hook_embed v.npy ${x#*:}" --edit "$e" --edit "$f" -q > /dev/null; sonde export ${x%:*}.db --stream logits -o ${x%:*}.npy -q > /dev/null; done; sonde record $m --text 'Once upon a time' --sites grad:hook_embed,grad:blocks.0.hook_resid_post --loss logit:77 --edit "$e" --edit "$f" -o g.db -q > /dev/null; sonde export g.db --stream grad:hook_embed -o g.npy -q > /dev/null; python3 $CLI/edit_check.py slope low.npy high.npy 77 0.004 g.npy v.npy; sonde export g.db --stream grad:blocks.0.hook_resid_post -o p.npy -q > /dev/null; python3 $CLI/edit_check.py along p.npy v.npy
> True True
> True
$ sonde record $SHARED/models/tinystories-656k --text 'Once upon' --sites grad:resid --edit 'set blocks.0.ln1.hook_scale 1' -o t.db; ls t.db 2> /dev/null
! sonde record: gradients do not pass through an edit of blocks.0.ln1.hook_scale
? 2

== the bits depend on neither threads nor memory, and targets may be given
need data/text/tinystories-600.jsonl
$ r() { rm -f s.db; sonde record $SHARED/models/tinystories-656k --jsonl $SHARED/data/text/tinystories-600.jsonl --max-tokens 3000 --sites resid,grad:all -o s.db --json -q "$@" > j; sonde export s.db --streams grad:all -o x.npz -q > /dev/null; sha256sum x.npz; }; (r --threads 1; r --threads 2; r --threads 2 --mem 200M) | sort -u | wc -l; python3 $CLI/js.py "s['sequences_by_layer'] > 0" < j
> 1
> True
$ m=$SHARED/models/tinystories-656k; ids='1 40 50 60 70 80'; python3 $CLI/npy.py ids a.npy $ids; python3 $CLI/npy.py ids t.npy 40 50 60 70 80 -1; for l in next-token targets:t.npy; do sonde record $m --ids a.npy --sites grad:resid --loss $l -o ${l%%:*}.db -q > /dev/null; sonde export ${l%%:*}.db --streams grad:resid -o ${l%%:*}.npz -q > /dev/null; done; cmp next-token.npz targets.npz && echo same
> same
$ python3 $CLI/npy.py ids t.npy 40 50 60 70 80 81; sonde record $SHARED/models/tinystories-656k --ids a.npy --sites grad:resid --loss targets:t.npy -o targets.db --resume --run run-1 2>&1 | cut -c1-72
> sonde record: targets.db: run 'run-1' cannot be resumed: its options is 

== peak memory stays inside the budget
need data/text/tinystories-600.jsonl
require ! grep -aq __asan_init "$SONDE"
$ for m in 256 400; do sonde record $SHARED/models/tinystories-656k --jsonl $SHARED/data/text/tinystories-600.jsonl --sites resid,grad:resid,grad:attn --max-tokens 15000 --mem ${m}M -o $m.db --json -q | python3 $CLI/js.py "s['peak_rss_bytes'] <= $m * 2 ** 20"; done
> True
> True

== probes read gradients as they read values
need data/text/tinystories-600.jsonl
$ sonde record $SHARED/models/tinystories-656k --jsonl $SHARED/data/text/tinystories-600.jsonl --max-tokens 1500 --sites resid,grad:resid,grad:attn -o s.db -q > /dev/null; sonde label s.db --set position --builtin position -q > /dev/null; sonde probe ridge s.db --streams grad:resid --labels position --no-store --json -q | python3 $CLI/js.py "sorted({x['stream'] for t in r['tables'] if 'stream' in t['columns'] for x in tab(t['name'])})"
> ['grad:blocks.0.hook_resid_post', 'grad:blocks.1.hook_resid_post', 'grad:hook_embed']
$ sonde probe ridge s.db --streams grad:resid --labels position --baseline random-weights --no-store -q; sonde probe attention s.db --no-store -q
! sonde probe: probe ridge: gradients are read from a store (sonde record --sites grad:..), and have no baseline on the spot
! sonde probe: probe attention: no attention pattern of layers all is recorded (record --sites attn)
? 2

== what is no loss is one line
need models/tinystories-656k
$ m=$SHARED/models/tinystories-656k; r() { sonde record $m --text 'Once upon' -o s.db "$@"; }; printf junk > w.npy; python3 $CLI/npy.py ids t.npy 1 2; python3 $CLI/edit_check.py vector f.npy 1 2; r --loss next-token; for l in nothing logit: logit:-1 logit:x@0 logit:1@ logit:99999 targets: targets:nothere.npy targets:w.npy targets:f.npy targets:t.npy logit:1@9; do r --sites grad:resid --loss "$l"; done
! sonde record: --loss goes with gradients: --sites grad:resid, ..
! sonde record: --loss 'nothing': expected next-token, logit:ID, logit:ID@ROW or targets:FILE.npy
! sonde record: --loss 'logit:': expected next-token, logit:ID, logit:ID@ROW or targets:FILE.npy
! sonde record: --loss 'logit:-1': expected next-token, logit:ID, logit:ID@ROW or targets:FILE.npy
! sonde record: --loss 'logit:x@0': expected next-token, logit:ID, logit:ID@ROW or targets:FILE.npy
! sonde record: --loss 'logit:1@': expected next-token, logit:ID, logit:ID@ROW or targets:FILE.npy
! sonde record: logit 99999: the model has 0 to 2047
! sonde record: --loss 'targets:': expected next-token, logit:ID, logit:ID@ROW or targets:FILE.npy
! sonde record: --loss: nothere.npy: cannot open: No such file or directory
! sonde record: --loss: w.npy: not an .npy file
! sonde record: --loss: f.npy holds 2 values of type f32; targets are integers, one for each token
! sonde record: 2 targets for at least 6 tokens of input
! sonde record: sequence 0: logit 1 of row 9: there are 6 rows of 2048
? 2
$ sonde record $SHARED/models/tinystories-656k --text x -o t.db --sites grad:blocks.0.hook_resid_pots; sonde record $SHARED/models/tinystories-656k --text x -o t.db --sites grad:,resid
! sonde record: no site is named 'blocks.0.hook_resid_pots'; the nearest are blocks.*.hook_resid_post, blocks.*.hook_resid_pre, blocks.*.hook_resid_mid
! sonde record: an empty site pattern in ''
? 2
$ sonde record $SHARED/reference/bert --ids t.npy --sites grad:resid -o t.db; sonde record $SHARED/reference/bert --ids t.npy --sites grad:resid --loss logit:3 -o u.db -q > /dev/null && echo bert
> bert
! sonde record: bert attends in both directions and sees the next token: its loss is of given targets or a logit
