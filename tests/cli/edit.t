# Edits from the command line: that they are used, kept with the run, part of what a resumed run
# must agree in, and refused in one line.

== without attention the stream passes it by
need models/tinystories-656k
$ sonde record $SHARED/models/tinystories-656k --text 'Once upon a time' -o s.db --sites 'blocks.*.hook_resid_pre,blocks.*.hook_resid_mid' --edit 'zero blocks.*.hook_attn_out' -q > /dev/null; for i in 0 1; do for s in pre mid; do sonde export s.db --stream blocks.$i.hook_resid_$s -o $s.npy -q > /dev/null; done; cmp pre.npy mid.npy && echo same; done
> same
> same
$ sonde record $SHARED/models/tinystories-656k --text 'Once upon a time' -o t.db --edit 'skip 0-1' -q > /dev/null; for s in hook_embed blocks.1.hook_resid_post; do sonde export t.db --stream $s -o - -q | sha256sum; done | uniq | wc -l
> 1

== an edit is kept with its run, and a resumed run must agree in it
need models/tinystories-656k
$ python3 $CLI/edit_check.py spread v.npy 128; r() { sonde record $SHARED/models/tinystories-656k --text 'Once upon a time' -o s.db --run a "$@"; }; r --edit 'add hook_embed v.npy 2' --edit 'skip 1.mlp' -q > /dev/null; sonde info s.db | grep -o 'edits .*'
> edits      [{"edit":"add hook_embed v.npy 2","sha256":"5ceb6ad1c4f678a16…
$ r() { sonde record $SHARED/models/tinystories-656k --text 'Once upon a time' -o s.db --run a "$@"; }; r --edit 'add hook_embed v.npy 2' --edit 'skip 1.mlp' --resume -q > /dev/null && echo agrees; r --resume
> agrees
! sonde record: s.db: run 'a' cannot be resumed: its edits is '[{"edit":"add hook_embed v.npy 2","sha256":"5ceb6ad1c4f678a1682755124580cd4e9808c2c5ed9027958448cc93e20c3990"},{"edit":"skip 1.mlp"}]', now it is '[]'
? 2
$ python3 $CLI/edit_check.py vector v.npy $(seq 128); sonde record $SHARED/models/tinystories-656k --text 'Once upon a time' -o s.db --run a --edit 'add hook_embed v.npy 2' --edit 'skip 1.mlp' --resume 2>&1 | cut -c1-60
> sonde record: s.db: run 'a' cannot be resumed: its edits is 

== no-op edits change no bit, whatever the threads
need data/text/tinystories-600.jsonl
$ python3 $CLI/edit_check.py spread v.npy 128; r() { sonde record $SHARED/models/tinystories-656k --jsonl $SHARED/data/text/tinystories-600.jsonl --max-tokens 3000 --sites resid,attn -o $1.db -q "${@:2}" > /dev/null; sonde export $1.db --streams all -o $1.safetensors -q > /dev/null; }; r plain; r noop --edit 'add *.hook_resid_post v.npy 0' --edit 'zero *[positions=9999-]'; cmp plain.safetensors noop.safetensors; r one --edit 'flip blocks.0.hook_resid_post[positions=3-] v.npy' --threads 1; r two --edit 'flip blocks.0.hook_resid_post[positions=3-] v.npy' --threads 2; cmp one.safetensors two.safetensors; cmp -s plain.safetensors one.safetensors || echo seen
> seen

== a run patched into itself is itself, and into another makes that one
need models/tinystories-656k
$ python3 $CLI/npy.py ids a.npy 1 40 50 60 70 80; python3 $CLI/npy.py ids b.npy 1 99 98 97 96 95; r() { sonde record $SHARED/models/tinystories-656k --ids $1.npy --run $2 -o s.db --sites 'all,-*.hook_result' -q "${@:3}" > /dev/null; sonde export s.db --run $2 --streams all -o $2.safetensors -q > /dev/null; }; r a a; r b b; r a itself --edit 'patch *,-*.hook_attn_scores,-*.hook_result from a:0'; cmp a.safetensors itself.safetensors; r a other --edit 'patch hook_embed from b:0'; cmp b.safetensors other.safetensors; cmp -s a.safetensors b.safetensors || echo differ
> differ
$ r() { sonde record $SHARED/models/tinystories-656k --ids a.npy -o t.db "$@"; }; r --edit 'patch hook_embed from b:1' --edit-store s.db
! sonde record: edit 'patch hook_embed from b:1': s.db: run 'b' holds sequences 0 to 0, not 1
? 2
$ sonde record $SHARED/models/tinystories-656k --ids a.npy -o s.db --edit 'patch hook_embed from c:0'
! sonde record: edit 'patch hook_embed from c:0': s.db: no run 'c'; runs of this store: a, b, itself, other
? 2
$ sonde record $SHARED/models/tinystories-656k --ids a.npy -o t.db --edit 'mean blocks.0.hook_mlp_out@a' --edit-store nothere.db
! sonde record: edit 'mean blocks.0.hook_mlp_out@a': nothere.db: no such store
? 2
$ sonde record $SHARED/models/tinystories-656k --ids a.npy -o t.db --edit 'mean blocks.0.attn.hook_result@a' --edit-store s.db
! sonde record: edit 'mean blocks.0.attn.hook_result@a': s.db: run 'a' does not hold blocks.0.attn.hook_result
? 2
$ sonde record $SHARED/models/tinystories-656k --ids a.npy -o t.db --edit 'mean blocks.0.hook_mlp_out' --edit-store s.db
! sonde record: edit 'mean blocks.0.hook_mlp_out': s.db: the store holds several runs, name one: a, b, itself, other
? 2

== the mean of a run stands in every row
need data/text/tinystories-600.jsonl
$ sonde record $SHARED/models/tinystories-656k --jsonl $SHARED/data/text/tinystories-600.jsonl --max-tokens 700 --sites blocks.0.hook_mlp_out -o s.db -q > /dev/null; sonde export s.db --stream blocks.0.hook_mlp_out -o all.npy -q > /dev/null; sonde record $SHARED/models/tinystories-656k --text 'Once upon a time' --sites blocks.0.hook_mlp_out -o t.db --edit 'mean blocks.0.hook_mlp_out' --edit-store s.db -q > /dev/null; sonde export t.db --stream blocks.0.hook_mlp_out -o got.npy -q > /dev/null; python3 $CLI/edit_check.py mean all.npy got.npy
> True

== a projected direction is gone, and controls have runs of their own
need models/tinystories-656k
$ python3 $CLI/edit_check.py spread v.npy 128; r() { sonde record $SHARED/models/tinystories-656k --text 'Once upon a time there was a dog' -o s.db --run out --edit 'project-out *.hook_resid_post v.npy' --edit-control 2 "$@"; }; r -q > /dev/null; r --resume -q > /dev/null && echo resumed; for n in out out-control-1 out-control-2; do sonde export s.db --run $n --stream blocks.1.hook_resid_post -o $n.npy -q > /dev/null; done; python3 $CLI/edit_check.py along out.npy v.npy; sha256sum out*.npy | cut -d' ' -f1 | sort -u | wc -l; python3 $CLI/edit_check.py along out-control-1.npy v.npy 2>&1 | grep -c AssertionError; sonde info s.db --json | python3 $CLI/js.py "[(x['run'], x['state']) for x in tab('runs')], ['control' in x['value'] for x in tab('origins') if x['property'] == 'edits']"
> resumed
> True
> 3
> 1
> ([('out', 'complete'), ('out-control-1', 'complete'), ('out-control-2', 'complete')], [False, True, True])
$ sonde record $SHARED/models/tinystories-656k --text x -o s.db --edit 'skip 0' --run x --edit-control 3
! sonde record: --edit-control needs an edit with a direction (add, project-out, keep, flip), neurons or heads
? 2
$ sonde record $SHARED/models/tinystories-656k --text x -o s.db --edit 'keep hook_embed v.npy' --edit-control 3
! sonde record: --edit-control needs a name for the run: --run NAME
? 2

== generation goes by the edits, positions counted from the beginning
need models/tinystories-656k
$ g() { sonde generate $SHARED/models/tinystories-656k --prompt 'Once upon a time' --max-tokens 20 --ignore-eos "$@"; }; e='zero blocks.0.hook_mlp_out[positions=9-12]'; h='zero blocks.1.attn.hook_pattern[positions=8-;keys=1-4]'; g > plain; g --edit 'skip *[positions=500-]' | cmp - plain; g --edit "$e" --edit "$h" --json > g.json; python3 $CLI/js.py "r['parameters']['edits']" < g.json; p=$(sonde tokenize $SHARED/models/tinystories-656k 'Once upon a time' --json | python3 $CLI/js.py "' '.join(str(x['id']) for x in tab('tokens'))"); python3 $CLI/edit_check.py ids ids.npy g.json $p; r() { sonde record $SHARED/models/tinystories-656k --ids ids.npy --sites logits -o $1.db -q "${@:2}" > /dev/null; sonde export $1.db --stream logits -o $1.npy -q > /dev/null; python3 $CLI/edit_check.py greedy $1.npy g.json; }; r edited --edit "$e" --edit "$h"; r unedited
> zero blocks.0.hook_mlp_out[positions=9-12]; then zero blocks.1.attn.hook_pattern[positions=8-;keys=1-4]
> 20 True
> 20 False

== what is no edit is one line
need models/tinystories-656k
$ for e in '' 'zeros hook_embed' 'zero blocks.0.hook_mlp_uot' 'zero hook_embed[heads=1]' 'set blocks.0.attn.hook_z[99] 1' 'add hook_embed nothere.npy' 'skip 7' 'mean hook_embed@a'; do sonde generate $SHARED/models/tinystories-656k --prompt x --edit "$e"; done
! sonde generate: edit '': '': expected zero, mean, set, add, project-out, keep, flip, patch or skip
! sonde generate: edit 'zeros hook_embed': 'zeros': expected zero, mean, set, add, project-out, keep, flip, patch or skip
! sonde generate: edit 'zero blocks.0.hook_mlp_uot': no site is named 'blocks.0.hook_mlp_uot'; the nearest are blocks.*.hook_mlp_out, blocks.*.hook_resid_post, blocks.*.hook_attn_out
! sonde generate: edit 'zero hook_embed[heads=1]': hook_embed has no heads
! sonde generate: edit 'set blocks.0.attn.hook_z[99] 1': blocks.0.attn.hook_z has no neuron 99: they are 0 to 15
! sonde generate: edit 'add hook_embed nothere.npy': nothere.npy: cannot open: No such file or directory
! sonde generate: edit 'skip 7': site 'blocks.7.hook_attn_out': no such layer, the model has layers 0 to 1
! sonde generate: edit 'mean hook_embed@a': which store holds the run? --edit-store STORE
? 2
$ python3 $CLI/edit_check.py vector v.npy 1 2 3; sonde record $SHARED/models/tinystories-656k --text x -o s.db --edit 'add hook_embed v.npy'; printf junk > w.npy; sonde record $SHARED/models/tinystories-656k --text x -o s.db --edit 'add hook_embed w.npy'
! sonde record: edit 'add hook_embed v.npy': v.npy holds 3 values, a row of hook_embed has 128
! sonde record: edit 'add hook_embed w.npy': w.npy: not an .npy file
? 2
$ sonde record $SHARED/models/tinystories-656k --text x -o s.db --edit-store s.db
! sonde record: --edit-store goes with --edit
? 2
$ ls -A
> v.npy
> w.npy

== a probe of a text sees the edited pass, and checks against it
need models/tinystories-656k
$ m=$SHARED/models/tinystories-656k; l() { sonde probe logit-lens $m "$@" --json -q; }; e='add blocks.0.hook_resid_post[positions=2-] v.npy 3'; python3 $CLI/edit_check.py spread v.npy 128; l --text 'Once upon a time' > plain.json; l --text 'Once upon a time' --edit "$e" > now.json; sonde record $m --text 'Once upon a time' -o s.db --edit "$e" -q > /dev/null; l s.db > stored.json; for f in plain now stored; do python3 $CLI/js.py "[(c['name'], c['ok']) for c in r['checks']], r['warnings']" < $f.json; python3 $CLI/js.py "[x for x in tab('lens') if 'mid' not in str(x)]" < $f.json | sha256sum; done > seen; sed 's/^[0-9a-f]\{64\}.*/hash/' seen; grep -c ' -$' <(sort -u seen | grep ' -$')
> ([('lens at the last layer equals the logits', True)], [])
> hash
> ([('lens at the last layer equals the logits', True)], [])
> hash
> ([], ["the run was recorded with edits: the lens's last row is not compared with the logits"])
> hash
> 2
$ sonde probe logit-lens $SHARED/models/tinystories-656k --text 'Once upon a time' --edit 'zero ln_final.hook_normalized' --json 2> warning | python3 $CLI/js.py "r['checks'], r['parameters']['edits']"; cat warning
> ([], 'zero ln_final.hook_normalized')
> sonde probe: warning: the edits change the readout itself: the lens's last row is not compared with the logits
$ sonde probe logit-lens $SHARED/models/tinystories-656k s.db --edit 'skip 0'
! sonde probe: --edit goes with a text that MODEL runs now (--text, --file, ..); for a store: sonde record --edit
? 2
$ sonde probe kv-memory $SHARED/models/tinystories-656k --edit 'skip 0'
! sonde probe: --edit goes with a text that MODEL runs now (--text, --file, ..); for a store: sonde record --edit
? 2
$ sonde probe logit-lens $SHARED/models/tinystories-656k --text x --edit 'skip 9'
! sonde probe: edit 'skip 9': site 'blocks.9.hook_attn_out': no such layer, the model has layers 0 to 1
? 2

== a pattern that an edit changed need not sum to 1, and others must
need models/tinystories-656k
$ m=$SHARED/models/tinystories-656k; c() { python3 $CLI/js.py "[(x['name'], x['ok']) for x in r['checks']], r['warnings']"; }; e='zero blocks.0.attn.hook_pattern[keys=0]'; f='skip 0.mlp'; for x in "$e" "$f"; do sonde probe attention $m --text 'Once upon a time' --edit "$x" --json -q | c; sonde record $m --text 'Once upon a time' --sites attn -o s.db --edit "$x" -q > /dev/null; sonde probe attention s.db --json -q --no-store | c; rm s.db; done
> ([], ["the pattern is edited: whether the pattern's rows sum to 1 is not checked (off by 1)"])
> ([], ["the run was recorded with edits: whether the pattern's rows sum to 1 is not checked (off by 1)"])
> ([('pattern rows sum to 1', True)], [])
> ([('pattern rows sum to 1', True)], [])

== controls of a probe are those of record, side by side
need models/tinystories-656k
$ m=$SHARED/models/tinystories-656k; python3 $CLI/edit_check.py spread v.npy 128; for e in 'project-out blocks.0.hook_resid_post v.npy' 'zero blocks.0.mlp.hook_post[neurons=3-40]' 'zero blocks.0.attn.hook_z[heads=2]'; do rm -f s.db; sonde record $m --text 'Once upon a time there was a dog' --sites attn -o s.db --run out --edit "$e" --edit-control 3 -q > /dev/null; for r in out out-control-1 out-control-2 out-control-3; do sonde probe attention s.db --run $r --no-store --json -q > $r.json; done; sonde probe attention $m --text 'Once upon a time there was a dog' --edit "$e" --edit-control 3 --json -q > now.json; python3 $CLI/edit_check.py beside now.json heads entropy out.json out-control-?.json; done; python3 $CLI/js.py "r['parameters']['edit_control']" < now.json
> True True
> True True
> True True
> 3
$ python3 $CLI/js.py "r['warnings']" < now.json; sonde probe logit-lens $SHARED/models/tinystories-656k --text 'Once upon a time there was a dog' --edit 'project-out blocks.0.hook_resid_post v.npy' --edit-control 2 --json -q | python3 $CLI/js.py "r['warnings'], [t['name'] for t in r['tables'] if t['name'].endswith('edit_control')], tab('sites.edit_control')[0]['kl.control.mean'] > 0"
> []
> (['no mean and range over the controls for lens: its rows are not the same things under them'], ['next.edit_control', 'sites.edit_control'], True)
$ sonde probe attention $SHARED/models/tinystories-656k --text x --edit 'skip 0' --edit-control 2; sonde probe attention $SHARED/models/tinystories-656k --text x --edit-control 2; sonde probe attention s.db --edit-control 2
! sonde probe: --edit-control needs an edit with a direction (add, project-out, keep, flip), neurons or heads
! sonde probe: --edit-control needs an edit with a direction (add, project-out, keep, flip), neurons or heads
! sonde probe: --edit goes with a text that MODEL runs now (--text, --file, ..); for a store: sonde record --edit
? 2

== controls of a generation stand beside it and beside none
need models/tinystories-656k
$ g() { sonde generate $SHARED/models/tinystories-656k --prompt 'Once upon a time' --max-tokens 12 --ignore-eos "$@"; }; e='zero blocks.0.mlp.hook_post[neurons=0-80]'; g --edit "$e" --edit-control 2 --json > now.json; python3 $CLI/js.py "[(x['run'], x['tokens'], x['as_unedited']) for x in tab('edit_control')], len({x['text'] for x in tab('edit_control')}) > 2, len(tab('tokens'))" < now.json; g --edit "$e" > edited; g > plain; python3 $CLI/js.py "[x['text'] for x in tab('edit_control')][:2] == [open('plain').read(), open('edited').read()]" < now.json; g --edit "$e" --edit-control 2 | head -c $(stat -c %s edited) | cmp - edited; g --edit "$e" --edit-control 2 | grep -c '^\[control-[12]: '
> ([('unedited', 12, 12), ('edited', 12, 2), ('control-1', 12, 2), ('control-2', 12, 3)], True, 12)
> True
> 2
$ sonde generate $SHARED/models/tinystories-656k --prompt x --edit 'skip 0' --edit-control 2; sonde generate $SHARED/models/tinystories-656k --prompt x --edit-control 2
! sonde generate: --edit-control needs an edit with a direction (add, project-out, keep, flip), neurons or heads
! sonde generate: --edit-control needs an edit with a direction (add, project-out, keep, flip), neurons or heads
? 2
