# The probes of the emergent-stack study from the command line, on one of its published models.

== the sweep over shapes: a row each, with the control beside it, and the curve as a picture
need seeds/counter-languages/models/dyck1/model_19.pt
$ sonde record $SHARED/seeds/counter-languages/models/dyck1/model_19.pt --formal 'dyck-1:n=200,len=2..30,ids=T()' --sites blocks.0.hook_resid_post -o s.db -q > /dev/null; sonde label s.db --set depth --builtin depth -q > /dev/null; sonde probe mlp s.db --labels depth --hidden '-;16;16,8' --epochs 4 --control --bootstrap 100 -o out --json -q > r.json; python3 $CLI/js.py "list(tab('layers')[0]), [(x['hidden'], x['parameters'] > 0, x['value'] > x['majority'] > 0, x['ci_low'] <= x['value'] <= x['ci_high'], x['control'] is not None) for x in tab('layers')], len(tab('epochs')), [f['name'] for f in r['figures']]" < r.json
> (['stream', 'layer', 'task', 'metric', 'value', 'ci_low', 'ci_high', 'majority', 'control', 'selectivity', 'n_train', 'n_test', 'l2', 'iterations', 'random_weights', 'hidden', 'parameters', 'epoch', 'validation'], [('-', True, True, True, True), ('16', True, True, True, True), ('16,8', True, True, True, True)], 24, ['sweep', 'confusion'])
$ ls out | grep sweep; for n in 1 2; do sonde probe mlp s.db --labels depth --hidden '-;16' --epochs 3 --no-store --json -q --threads $n | sha256sum; done | uniq | wc -l
> sweep.csv
> sweep.png
> sweep.svg
> 1
$ sonde probe mlp s.db --labels depth --protocol emergent-stack --hidden - --bootstrap 0 --json --no-store > r.json; python3 $CLI/js.py "{k: r['parameters'][k] for k in ('select', 'scale', 'split', 'batch', 'epochs')}, s['overlap_share']" < r.json
> ({'select': 'test', 'scale': 'all', 'split': 'position', 'batch': 32, 'epochs': 10}, 1)
!~ sonde probe: warning: *test rows*
!~ sonde probe: warning: 3 test samples have a class that is in no training sample*
!~ sonde probe: warning: split by position*
!~ sonde probe: warning: the epoch is chosen on the test rows*
!~ sonde probe: warning: *standardised on training and test rows together*
$ sonde probe mlp s.db --labels depth --hidden - --epochs 1 --control --bootstrap 0 --no-store 2>&1 > /dev/null | grep -o 'the control task has .* classes'
> the control task has 2 word types for 14 classes
$ sonde probe mlp s.db --labels depth --hidden 128,,
! sonde probe: probe mlp: --hidden "128,,": expected widths from 1 to 65536 such as 128,128 (at most 16), - for no hidden layer, at most 32 shapes apart by ';'
? 2
$ sonde probe mlp s.db --labels depth --hidden 4096,4096 --mem 20M 2>&1 | sed 's/ needs* a memory .*//; s/.*: minibatches/minibatches/'; sonde probe mlp s.db --labels none 2>&1 | grep -c depth
> minibatches in a random order of 3678 samples of 32 features
> 1

== depth over length lies in one coordinate of the attention output
need seeds/counter-languages/models/dyck1/model_19.pt
$ sonde record $SHARED/seeds/counter-languages/models/dyck1/model_19.pt --formal 'dyck-1:n=300,len=2..40,ids=T()' --sites blocks.0.hook_resid_post,blocks.0.hook_attn_out -o s.db -q > /dev/null; sonde label s.db --set ratio --builtin depth/length -q > /dev/null; sonde probe correlation s.db --streams all --labels ratio --json -q | python3 $CLI/js.py "[(x['stream'], abs(x['pearson']) > .99, abs(x['held_out']) > .99, x['control_max'] < .3, x['ci_low'] <= x['pearson'] <= x['ci_high']) for x in tab('layers')], len(tab('coordinates'))"
> ([('blocks.0.hook_attn_out', True, True, True, True), ('blocks.0.hook_resid_post', False, False, True, True)], 10)

== a direction that is saved, taken out of the model, and gone
need seeds/counter-languages/models/dyck1/model_19.pt
$ r() { sonde record $SHARED/seeds/counter-languages/models/dyck1/model_19.pt --formal 'dyck-1:n=200,len=2..30,ids=T()' --sites blocks.0.hook_resid_post -o $1.db -q "${@:2}" > /dev/null; sonde label $1.db --set depth --builtin depth -q > /dev/null; sonde probe covariance $1.db --labels depth --save-direction $1.npy --bootstrap 0 --json -q > $1.json; }; r before; r after --edit 'project-out blocks.0.hook_resid_post before.npy'; python3 $CLI/direction_check.py before.npy after.npy
> 32 values; what is left of the covariance is below 1e-6 of it: True
$ for i in before after; do python3 $CLI/js.py "s['best_value'] > .1" < $i.json; done
> True
> False
$ sonde probe correlation after.db --labels depth --json -q | python3 $CLI/js.py "s['best_value'] < .1"
> True
$ sonde probe ridge before.db --labels depth --task real --l2 1e-3 --save-direction weights.npy --bootstrap 0 --no-store -q > /dev/null; sonde record $SHARED/seeds/counter-languages/models/dyck1/model_19.pt --formal 'dyck-1:n=2,ids=T()' --sites blocks.0.hook_resid_post -o t.db --edit 'project-out blocks.0.hook_resid_post weights.npy' -q > /dev/null && echo taken
> taken
$ sonde probe covariance before.db --labels depth --save-direction d/ -q --no-store > /dev/null; ls d
> blocks.0.hook_resid_post.npy
$ sonde probe linear before.db --labels depth --save-direction x.npy
!~ sonde probe: probe linear: --save-direction: label set depth has * classes, expected two or real labels*
? 2
$ sonde probe covariance before.db --labels depth --save-direction nowhere/x.npy 2>&1 | grep -c 'nowhere/x.npy'; sonde probe covariance before.db --labels depth --mask none 2>&1 | grep -c 'none'
> 1
> 1

== a probe tells its method and options as a command does
$ sonde probes mlp | head -n 1; for p in $(sonde probes --json | python3 $CLI/js.py "' '.join(x['name'] for x in tab('probes'))" | tr -d "'"); do sonde probes $p; done > all.txt; grep -c '^usage: sonde probe ' all.txt | sed 's/[0-9]*/several/'; awk 'length > 80' all.txt
> usage: sonde probe mlp STORE --labels SET [OPTION..]
> several
$ sonde probes mlp --json | python3 $CLI/js.py "[(x['option'], x['default']) for x in tab('options')][:3], 'ReduceLROnPlateau' in r['parameters']['description']"
> ([('streams', 'resid'), ('labels', None), ('hidden', '128')], True)
$ sonde probes nothing
!~ sonde probes: no probe "nothing"*
? 2
