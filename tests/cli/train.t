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

== the curve in the terminal is 80 columns wide at most
$ python3 $CLI/recipe.py epochs=12 > r.json; sonde train r.json -o out -q > o; python3 -c "lines = [l.rstrip('\n') for l in open('o', encoding='utf-8')]; at = lines.index('  loss (logarithmic)') if '  loss (logarithmic)' in lines else lines.index('  loss'); print(max(map(len, lines)) <= 80, len(lines) - at, lines[-2].split(), lines[-1].split(), sum('.' in l[12:] for l in lines[at + 1:at + 15]) > 3)"
> True 18 ['step', '1', '36'] ['.', 'train', '0', 'bin0'] True

== the same bits for any number of threads, and after an interruption
$ python3 $CLI/recipe.py > r.json; sonde train r.json -o a -q --threads 1 > /dev/null; sonde train r.json -o b -q --threads 3 > /dev/null; sonde train r.json -o c -q --steps 7 > /dev/null; ls c/checkpoints; sonde train r.json -o c -q --resume --json | python3 $CLI/js.py "r['parameters']['resumed_at'], s['steps']"; for d in b c; do cmp a/model.safetensors $d/model.safetensors && cmp a/checkpoints/step-00000018/state.safetensors $d/checkpoints/step-00000018/state.safetensors; done
> step-00000006
> step-00000007
> (7, 18)
$ python3 -c "import json; a, c = ([{k: v for k, v in json.loads(l).items() if k != 'tokens_per_second'} for l in open(d + '/log.jsonl')] for d in 'ac'); print([(l['step'], l['validation']) for l in c if l not in a], [l for l in a if l not in c])"
> [(7, 'bin0')] []

== killed at any moment and resumed: the same bits
$ python3 $CLI/recipe.py 'corpus.formal="dyck-1:n=1500,len=2..40,seed=1"' checkpoint.every=10 epochs=3 > r.json; sonde train r.json -o a -q > /dev/null; exec 2> /dev/null; n=2; until timeout -s KILL $(printf '%d.%02d' $((n / 20)) $((n % 20 * 5))) "$SONDE" train r.json -o b -q --resume > /dev/null 2>&1; do n=$((n + 1)); [ $n -gt 600 ] && break; done; [ $n -gt 3 ] && echo killed; cmp a/model.safetensors b/model.safetensors; cmp a/checkpoints/step-00000141/state.safetensors b/checkpoints/step-00000141/state.safetensors; ls b/checkpoints | xargs
> killed
> step-00000140 step-00000141

== next tokens of a text, its bits, and a continuation
$ for i in $(seq 40); do echo 'one two three four five six seven eight nine ten'; echo 'ten nine eight seven six five four three two one'; done > t.txt; sonde tokenizer train --file t.txt --vocab-size 300 --special '<|endoftext|>' -o tokenizer.json -q > /dev/null; python3 $CLI/recipe.py model='{"model_type": "llama", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2, "intermediate_size": 64, "max_position_embeddings": 64, "tie_word_embeddings": true}' init='{"kind": "normal"}' corpus='{"file": "t.txt", "pack": 32, "skip-every": 5}' validation='[{"name": "held out", "file": "t.txt", "pack": 32, "only-every": 5}]' objective='"next-token"' tokenizer='"tokenizer.json"' optimizer='{"name": "adamw", "lr": 0.01, "decay": "matrices"}' schedule='{"kind": "cosine", "warmup": 5, "final": 0.1}' clip='{"norm": 1.0}' batch='{"tokens": 256}' epochs=25 dtype='"bf16"' > r.json; sonde train r.json -o out --json -q > r; python3 $CLI/js.py "(lambda v: (sorted(v), v['accuracy'] > .8, abs(v['bits_per_token'] - v['loss'] / 0.6931471805599453) < 1e-6, abs(v['bits_per_byte'] * v['bytes'] - v['bits_per_token'] * v['tokens']) < 1e-2, v['bytes']))(tab('validation')[0])" < r
> (['accuracy', 'bits_per_byte', 'bits_per_token', 'bytes', 'loss', 'name', 'rows', 'rows_right', 'step', 'tokens'], True, True, True, 768)
$ sonde generate out --prompt 'one two three' --max-tokens 20; echo
> one two three four five six seven eight nine ten
$ sonde info out --json | python3 $CLI/js.py "s['d_vocab'] == s['tokenizer_size'], s['eos_id'], [x['value'] for x in tab('traits') if x['property'] == 'weights']"
> (True, 0, ['bf16'])

== the best of the validations is written
$ python3 $CLI/recipe.py select='"best"' > r.json; sonde train r.json -o a --json -q > r; sonde train r.json -o b --steps 11 -q > /dev/null; sonde train r.json -o b --resume -q > /dev/null; cmp a/model.safetensors b/model.safetensors; cmp a/model.safetensors a/best/model.safetensors; cat r | python3 -c "import json, sys; r = json.load(sys.stdin); v = [json.loads(l) for l in open('a/log.jsonl') if 'validation' in l]; best = min(v, key=lambda x: x['loss']); print(r['scalars']['step_written'] == best['step'] < 18, r['tables'][0]['rows'][0][1] == best['step'])"
> True True

== masked tokens
$ for i in $(seq 60); do echo 'one two three four five six seven eight'; done > t.txt; sonde tokenizer train --file t.txt --vocab-size 290 --special '[MASK]' -o tokenizer.json -q > /dev/null; python3 $CLI/recipe.py model='{"model_type": "sonde", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64, "position": "learned", "max_position_embeddings": 64, "causal": false}' -init corpus='{"file": "t.txt"}' validation='[{"name": "v", "file": "t.txt"}]' objective='"masked-token"' mask='{"token": "[MASK]", "rate": 0.2}' tokenizer='"tokenizer.json"' optimizer='{"name": "adam", "lr": 0.01}' batch='{"sequences": 16}' epochs=12 > r.json; sonde train r.json -o out --json -q | python3 $CLI/js.py "(lambda v: (v['accuracy'] > .9, .12 < v['rows'] / v['tokens'] < .28))(tab('validation')[0])"
> (True, True)
$ sed -i 's/\[MASK\]/[GAP]/' r.json; sonde train r.json -o out2
! sonde train: mask: the tokenizer has no token "[GAP]"
? 2

== classes, at the last position and at the first
$ python3 -c "import json, random; random.seed(1); [print(json.dumps({'text': ' '.join(w), 'kind': 'red' if w.count('red') > 2 else 'blue'})) for w in ([random.choice(['red', 'blue']) for _ in range(5)] for _ in range(300))]" > t.jsonl; sonde tokenizer train --jsonl t.jsonl --vocab-size 270 -o tokenizer.json -q > /dev/null; for at in last first; do python3 $CLI/recipe.py model='{"model_type": "sonde", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64, "position": "none", "max_position_embeddings": 64, "causal": false}' -init corpus='{"jsonl": "t.jsonl", "field": "text", "label": "kind", "skip-every": 4}' validation='[{"name": "v", "jsonl": "t.jsonl", "label": "kind", "only-every": 4}]' objective='"classification"' label-at="\"$at\"" tokenizer='"tokenizer.json"' optimizer='{"name": "adam", "lr": 0.005}' batch='{"sequences": 16}' epochs=12 > r.json; sonde train r.json -o $at --json -q | python3 $CLI/js.py "(lambda v: (v['accuracy'] > .95, v['rows'], v['sequences_right'] == v['rows_right']))(tab('validation')[0])"; done
> (True, 75, True)
> (True, 75, True)
$ echo '{"text": "red", "kind": "green"}' >> t.jsonl; sed -i 's/"skip-every": 4/"limit": 300/; s/"only-every": 4/"only-every": 301/' r.json; sonde train r.json -o out
! sonde train: v: t.jsonl: item 301: the label "green" is not in the training corpus
? 2

== a loss that is not finite ends it; the last checkpoint stays
$ python3 $CLI/recipe.py optimizer='{"name": "sgd", "lr": 1e30}' checkpoint.every=1 > r.json; sonde train r.json -o out
!~ sonde train: step *: the loss is * and the gradient's norm *; a lower lr or clipping may help
? 2
$ ls out/checkpoints | head -n 1; test -e out/model.safetensors || echo none
> step-00000001
> none

== what it refuses
$ python3 $CLI/recipe.py > r.json; sonde train r.json
! sonde train: where to: give -o DIR
? 2
$ sonde train nothing.json -o out
! sonde train: nothing.json: cannot open: No such file or directory
? 2
$ sonde train r.json -o out --steps 2 -q > /dev/null; sonde train r.json -o out
! sonde train: out holds a training or a model already (checkpoints): --resume goes on with a training, or name another folder
? 2
$ python3 $CLI/recipe.py seed=7 > s.json; sonde train s.json -o out --resume 2>&1 | sed 's/"[0-9a-f]*"/HASH/g'; exit ${PIPESTATUS[0]}
> sonde train: another recipe (or another seed) made out: out/checkpoints/step-00000002/state.safetensors: note is HASH, expected HASH: not a state of this training
? 2
$ python3 -c "d = open('out/checkpoints/step-00000002/state.safetensors', 'rb').read(); open('out/checkpoints/step-00000002/state.safetensors', 'wb').write(d[:-9])"; sonde train r.json -o out --resume
!~ sonde train: the last checkpoint cannot be read; without its folder --resume takes the one before: out/checkpoints/step-00000002/state.safetensors: *
? 2
$ sonde train r.json -o flip --steps 2 -q > /dev/null; python3 -c "d = bytearray(open('flip/checkpoints/step-00000002/state.safetensors', 'rb').read()); d[-9] ^= 1; open('flip/checkpoints/step-00000002/state.safetensors', 'wb').write(d)"; sonde train r.json -o flip --resume
! sonde train: the last checkpoint cannot be read; without its folder --resume takes the one before: flip/checkpoints/step-00000002/state.safetensors: the values are not those that were written
? 2
$ sonde train r.json -o seed --steps 1 --seed 7 2>&1 > /dev/null
> sonde train: warning: --seed plays no part: the recipe's seed, 42, decides
$ sonde train r.json -o other --mem 100K
!~ sonde train: training needs *, * may be used: 8 lanes take * each (fewer lanes or shorter sequences take less)
? 2
$ python3 $CLI/recipe.py model.hidden_sise=3 > x.json; sonde train x.json -o other
!~ sonde train: *hidden_sise*
? 2
$ python3 $CLI/recipe.py 'corpus.formal="dyke-1"' > x.json; sonde train x.json -o other
!~ sonde train: corpus: *dyke-1*
? 2
$ python3 $CLI/recipe.py 'corpus={"file": "t.txt"}' 'validation=[]' 'objective="next-token"' 'tokenizer="nowhere"' > x.json; sonde train x.json -o other
!~ sonde train: nowhere*
? 2
$ python3 $CLI/recipe.py model.n_outputs=5 > x.json; sonde train x.json -o other
! sonde train: train: dyck-1:n=90,len=2..20,seed=1 has 2 symbols, the model has 5 outputs
? 2
$ python3 $CLI/recipe.py 'corpus.formal="dyck-2:n=50,len=2..20"' > x.json; sonde train x.json -o other
! sonde train: bin0: dyck-1:n=50,len=2..20 has 2 symbols, the model has 4 outputs
? 2
$ python3 $CLI/recipe.py 'model.head="softmax"' > x.json; sonde train x.json -o other
! sonde train: model: objective k-hot-mse needs "head": "sigmoid"
? 2
$ python3 $CLI/recipe.py 'model.n_outputs=3' 'objective="next-token"' > x.json; sonde train x.json -o other
! sonde train: model: objective next-token needs "head": "softmax"
? 2
$ test -e other || echo nothing written
> nothing written

== Ctrl-C: what is done is kept, and goes on
$ python3 $CLI/recipe.py 'corpus.formal="dyck-1:n=3000,len=2..50,seed=1"' checkpoint.every=10 epochs=50 > r.json; python3 - <<'END'
\ import os, signal, subprocess, time
\ p = subprocess.Popen([os.environ["SONDE"], "train", "r.json", "-o", "out", "-q"], text=True,
\                      preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
\                      stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
\ while not os.path.isdir("out/checkpoints/step-00000020") and p.poll() is None:
\     time.sleep(0.01)
\ p.send_signal(signal.SIGINT)
\ line = p.communicate()[1].split()
\ step = int(line[5])
\ print(p.returncode, " ".join(line).replace(line[5], "N"), os.path.isdir("out/checkpoints/step-%08d" % step))
\ END
> 2 sonde train: stopped at step N of 4700: --resume goes on from there True
$ test -e out/model.safetensors || echo no model yet
> no model yet

== nothing is written over: a model from elsewhere, another recipe, another tokenizer
$ python3 $CLI/recipe.py -checkpoint > r.json; mkdir a b c; echo mine > a/model.safetensors; echo mine > b/recipe.json; echo mine > c/tokenizer.json; sonde train r.json -o a --resume
! sonde train: a holds a model (model.safetensors) and no checkpoint to go on from: name another folder
? 2
$ sonde train r.json -o a
! sonde train: a holds a training or a model already (model.safetensors): --resume goes on with a training, or name another folder
? 2
$ sonde train r.json -o b
! sonde train: b/recipe.json is another file than this training would write there: name another folder
? 2
$ sonde train r.json -o c
! sonde train: c/tokenizer.json is another file than this training would write there: name another folder
? 2
$ cat a/* b/* c/*
> mine
> mine
> mine
$ mkdir d; cp r.json d/recipe.json; sonde train d/recipe.json -o d -q > /dev/null; ls d/model.safetensors
> d/model.safetensors

== one training at a time in a folder
$ python3 $CLI/recipe.py > r.json; sonde train r.json -o out --steps 7 -q > /dev/null; python3 - <<'END'
\ import fcntl, os, subprocess
\ folder = os.open("out", os.O_RDONLY)
\ fcntl.flock(folder, fcntl.LOCK_EX)
\ subprocess.run([os.environ["SONDE"], "train", "r.json", "-o", "out", "--resume", "-q"])
\ END
! sonde train: another training is at work in out
$ sonde train r.json -o out --resume --json -q | python3 $CLI/js.py "s['steps']"
> 18

== another corpus or tokenizer than the checkpoint's is noticed
$ printf 'one two three four\nfour three two one\n' > t.txt; sonde tokenizer train --file t.txt --vocab-size 270 -o tokenizer.json -q > /dev/null; python3 $CLI/recipe.py model='{"model_type": "sonde", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8, "position": "learned", "max_position_embeddings": 64}' -init corpus='{"file": "t.txt"}' validation='[{"name": "v", "file": "v.txt"}]' objective='"next-token"' tokenizer='"tokenizer.json"' batch='{"sequences": 1}' > r.json; cp t.txt v.txt; sonde train r.json -o out --steps 3 -q > /dev/null; cp t.txt t; cp tokenizer.json k; printf 'one two three four\nfour three two two\n' > t.txt; sonde train r.json -o out --resume
! sonde train: the corpus, a validation or the tokenizer is not what it was when out/checkpoints/step-00000003/state.safetensors was made: --resume needs the same data
? 2
$ printf 'four three two one\none two three four\n' > t.txt; sonde train r.json -o out --resume -q 2>&1 | cut -c 1-40; cp t t.txt; cp t v.txt; echo one >> v.txt; sonde train r.json -o out --resume -q 2>&1 | cut -c 1-40; cp t v.txt; echo >> tokenizer.json; sonde train r.json -o out --resume -q 2>&1 | cut -c 1-40
> sonde train: the corpus, a validation or
> sonde train: the corpus, a validation or
> sonde train: the corpus, a validation or
$ cp k tokenizer.json; sonde train r.json -o out --resume --json -q | python3 $CLI/js.py "r['parameters']['resumed_at'], s['steps']"
> (3, 12)

== memory is counted before it is asked for
$ python3 $CLI/recipe.py model.hidden_size=16384 > r.json; sonde train r.json -o out --mem 100M
! sonde train: the model's weights alone take more than 100 MiB of memory
? 2
$ python3 $CLI/recipe.py 'corpus.formal="dyck-1:n=1000000,len=2..200"' > r.json; sonde train r.json -o out --mem 1M
! sonde train: train: the examples take more than 1 MiB of memory
? 2
$ python3 -c "for i in range(200000): print('{\"t\": \"a\", \"k\": \"%d\"}' % (i * 7919 % 200000))" > t.jsonl; printf 'a a\n' > t.txt; sonde tokenizer train --file t.txt --vocab-size 256 -o tokenizer.json -q > /dev/null; python3 $CLI/recipe.py model='{"model_type": "sonde", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8, "position": "learned", "max_position_embeddings": 4}' -init corpus='{"jsonl": "t.jsonl", "field": "t", "label": "k"}' validation='[]' objective='"classification"' tokenizer='"tokenizer.json"' > c.json; sonde train c.json -o out --mem 1M
! sonde train: corpus: the names of the classes take more than 1 MiB of memory
? 2
$ timeout 20 "$SONDE" train c.json -o out --mem 16M
!~ sonde train: training needs *
? 2
$ python3 $CLI/recipe.py 'validation=[{"name": "a", "formal": "dyck-1:n=1000000,len=2..200"}]' > r.json; sonde train r.json -o out --mem 1M
!~ sonde train: a: the examples take more than * of memory
? 2
$ test -e out || echo nothing written
> nothing written
