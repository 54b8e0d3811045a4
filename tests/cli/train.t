# Training from recipes: what is written, that it is a model, interruption and resuming, refusals.

== a formal language, the folder, and what other commands make of it
$ python3 $CLI/recipe.py > r.json; sonde train r.json -o out --json -q > r; python3 $CLI/js.py "r['command'], s['steps'], s['steps_planned'], s['train_sequences'], s['parameters'], list(tab('validation')[0]), tab('validation')[0]['sequences'], tab('validation')[0]['loss'] < .1, [f['name'] for f in r['figures']]" < r
> ('train', 18, 18, 90, 8706, ['name', 'step', 'loss', 'accuracy', 'sequences', 'sequences_right', 'rows', 'rows_right', 'tokens'], 50, True, ['loss', 'accuracy'])
$ ls out out/checkpoints out/checkpoints/step-00000018 | xargs; cmp r.json out/recipe.json; cmp r out/result.json; cmp out/model.safetensors out/checkpoints/step-00000018/model.safetensors
> out: accuracy.png accuracy.svg checkpoints config.json curve.csv log.jsonl loss.png loss.svg model.safetensors recipe.json result.json tokenizer.json validation.csv out/checkpoints: step-00000012 step-00000018 out/checkpoints/step-00000018: config.json model.safetensors state.safetensors tokenizer.json
$ python3 -c "import json; lines = [json.loads(l) for l in open('out/log.jsonl')]; print([l['step'] for l in lines if 'lr' in l] == list(range(1, 19)), [(l['step'], l['validation']) for l in lines if 'validation' in l], sorted(lines[0]))"
> True [(3, 'bin0'), (6, 'bin0'), (9, 'bin0'), (12, 'bin0'), (15, 'bin0'), (18, 'bin0')] ['epoch', 'loss', 'lr', 'step', 'tokens_per_second']
$ sonde tokenize out '(())' --json | python3 $CLI/js.py "[x['id'] for x in tab('tokens')]"
> [1, 1, 2, 2]
$ sonde record out --formal dyck-1:n=5 -o s.db -q --json | python3 $CLI/js.py "s['sequences']"
> 5
$ sonde label s.db --set depth --builtin depth -q > /dev/null; sonde probe mean-difference s.db --labels depth --json > /dev/null 2>&1 || sonde probe linear s.db --labels depth --json > /dev/null; echo probed
> probed

== the same bits for any number of threads, and after an interruption
$ python3 $CLI/recipe.py > r.json; sonde train r.json -o a -q --threads 1 > /dev/null; sonde train r.json -o b -q --threads 3 > /dev/null; sonde train r.json -o c -q --steps 7 > /dev/null; ls c/checkpoints; sonde train r.json -o c -q --resume --json | python3 $CLI/js.py "r['parameters']['resumed_at'], s['steps']"; for d in b c; do cmp a/model.safetensors $d/model.safetensors && cmp a/checkpoints/step-00000018/state.safetensors $d/checkpoints/step-00000018/state.safetensors; done
> step-00000006
> step-00000007
> (7, 18)
$ python3 -c "import json; a, c = ([{k: v for k, v in json.loads(l).items() if k != 'tokens_per_second'} for l in open(d + '/log.jsonl')] for d in 'ac'); print([(l['step'], l['validation']) for l in c if l not in a], [l for l in a if l not in c])"
> [(7, 'bin0')] []
