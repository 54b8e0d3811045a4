# The probes from the command line: names of tables and columns, what goes where, what is refused.

== the list of probes
$ sonde probes --json | python3 $CLI/js.py "{'linear', 'covariance', 'correlation', 'mlp', 'logit-lens', 'kv-memory', 'attention'} <= {x['name'] for x in tab('probes')}"
> True

== a probe that is not there
$ sonde probe liner s.db
!~ sonde probe: *linear*
? 2
$ sonde probe
!~ sonde probe: *
? 2

== linear fills every column of its table
need data/ud/Violet_Providence_eud_gold.conllu
$ c=$SHARED/data/ud/Violet_Providence_eud_gold.conllu; sonde record $SHARED/models/tinystories-656k --conllu $c -o s.db -q > /dev/null; sonde label s.db --set upos --conllu $c --column upos -q > /dev/null; sonde probe linear s.db --streams resid --labels upos --control -o out --l2 1 --json > r.json; python3 $CLI/js.py "list(tab('layers')[0]), [x['stream'] for x in tab('layers')], all(x['value'] > x['majority'] and x['ci_low'] <= x['value'] <= x['ci_high'] and x['control'] is not None and x['iterations'] > 0 for x in tab('layers'))" < r.json
> (['stream', 'layer', 'task', 'metric', 'value', 'ci_low', 'ci_high', 'majority', 'control', 'selectivity', 'n_train', 'n_test', 'l2', 'iterations', 'random_weights'], ['hook_embed', 'blocks.0.hook_resid_post', 'blocks.1.hook_resid_post'], True)
!~ sonde probe: warning: 155 of the 521 test rows (29.8 %) have the same tokens from the beginning *
$ cmp out/result.json r.json; ls out | grep -c '\.png$' | sed 's/[1-9].*/pictures/'; for f in out/*.png; do head -c 8 $f | od -An -tx1 | head -n 1; done | sort -u; head -n 1 out/layers.csv | cut -c1-40
> pictures
>  89 50 4e 47 0d 0a 1a 0a
> stream,layer,task,metric,value,ci_low,ci
$ sonde info s.db --json | python3 $CLI/js.py "[(x['id'], x['command']) for x in tab('results')]"
> [(1, 'probe linear')]
$ sonde report s.db -o r.html --json | python3 $CLI/js.py "s['results']"
> 1
$ sonde probe linear s.db --labels nothing
!~ sonde probe: *upos*
? 2
$ sonde probe linear s.db --labels upos --folsd 3
!~ sonde probe: *folds*
? 2

== a baseline's recording is inside the budget too
need data/ud/Eve_Brown_eud_gold.conllu
require ! grep -aq __asan_init "$SONDE"
$ c=$SHARED/data/ud/Eve_Brown_eud_gold.conllu; sonde record $SHARED/models/tinystories-656k --conllu $c -o s.db -q > /dev/null; sonde label s.db --set upos --conllu $c --column upos -q > /dev/null; python3 -c "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss <= 128 * 1024)" "$SONDE" probe linear s.db --labels upos --l2 1 --max-iterations 5 --baseline random-weights --mem 128M --no-store -q
> True

== the lens of the last layer is the model's own prediction
need models/tinystories-656k
$ sonde probe logit-lens $SHARED/models/tinystories-656k --text 'Once upon a time there was' --json -o out > r.json; python3 $CLI/js.py "r['command'], list(tab('lens')[0]), all(c['ok'] for c in r['checks'])" < r.json; ls out | grep -c png | sed 's/[1-9].*/pictures/'
> ('probe logit-lens', ['sequence', 'position', 'token', 'layer', 'rank', 'predicted_id', 'predicted', 'logprob', 'site'], True)
> pictures

== key-value memories
need models/tinystories-656k
$ sonde record $SHARED/models/tinystories-656k --text 'Once upon a time there was a little girl' -o s.db --sites resid,ffn -q > /dev/null; sonde probe kv-memory $SHARED/models/tinystories-656k s.db --layers 0 --neurons 0-3 --top 2 --json > r.json; python3 $CLI/js.py "list(tab('values')[0]), list(tab('keys')[0])" < r.json
> (['layer', 'neuron', 'rank', 'token_id', 'token', 'score'], ['layer', 'neuron', 'rank', 'activation', 'sequence', 'position', 'token', 'context'])

== attention maps of a text and of a stored sequence
need models/tinystories-656k
$ sonde record $SHARED/models/tinystories-656k --text 'Once upon a time' -o s.db --sites attn -q > /dev/null; a() { python3 $CLI/js.py "[(t['name'], t['rows']) for t in r['tables']]"; }; sonde probe attention s.db --sequence 0 --json | a > x; sonde probe attention $SHARED/models/tinystories-656k --text 'Once upon a time' --json | a > y; cmp x y && wc -l < x | tr -d ' '
> 1
$ sonde probe attention s.db --sequence 9
!~ sonde probe: *
? 2
