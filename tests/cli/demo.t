# The bundled models, and the tour of them.

== the counter model is whole
require sonde info counter
$ sonde info counter --json -q | python3 $CLI/js.py "s['parameters'], s['n_layers'], s['d_model']"
> (8836, 1, 32)
$ sonde score counter -q --formal shuffle-2:n=2000,len=2..50,generator=walk,seed=2 --json | python3 $CLI/js.py "s['sequences_right'] >= 0.99"
> True

== both bundled models have their recipes, and are small
require sonde info counter && sonde info english
$ sonde models --json | python3 -c "
\ import json, os, sys
\ tables = {t['name']: t for t in json.load(sys.stdin)['tables']}
\ folders = [row[2] for row in tables['bundled']['rows']]
\ need = ('config.json', 'model.safetensors', 'tokenizer.json', 'recipe.json', 'log.jsonl', 'README.md')
\ print([[n for n in need if not os.path.exists(os.path.join(f, n))] for f in folders])
\ print(sum(os.path.getsize(os.path.join(f, 'model.safetensors')) for f in folders) < 4000000)"
> [[], []]
> True

== the tour: what it claims lies where it says
require sonde info counter && sonde info english
$ sonde demo -o d -q --json > r.json; python3 $CLI/js.py "s['strings_right'] >= 0.95, s['strings_right_ablated'] <= 0.05, s['strings_right_random'] >= 0.9, s['strings_right_weights'] >= 0.9" < r.json
> (True, True, True, True)
$ python3 $CLI/js.py "s['localisation_attention'] >= 0.95, s['localisation_end'] <= 0.9, s['depth_accuracy'] - s['depth_control'] >= 0.3" < r.json
> (True, True, True)
$ python3 $CLI/js.py "s['lens_kl_middle'] < s['lens_kl_first'], s['neuron_share'] > s['neuron_share_control'], s['topic_accuracy'] > s['topic_control'], s['topic_accuracy'] > s['topic_random_weights']" < r.json
> (True, True, True, True)
$ python3 $CLI/js.py "len(r['checks']), all(c['ok'] for c in r['checks'])" < r.json
> (11, True)
$ cmp r.json d/result.json && echo same
> same
$ python3 -c "
\ import re
\ t = open('d/report.html').read()
\ print(re.findall('<section id=\"([^\"]*)\"', t))
\ print(len(re.findall('<figure', t)), len(re.findall('<article', t)), 'http://' in re.sub('xmlns[^ >]*', '', t), '<script' in t)"
> ['depth', 'where', 'use', 'attention', 'lens', 'neurons', 'topic', 'next', 'checks']
> 7 3 False False

== every command of the page works, also where it has been run
require sonde info counter && sonde info english
$ sonde demo -q > /dev/null; python3 $CLI/js.py "'\n'.join(x['command'] for x in tab('commands'))" < sonde-demo/result.json > commands; wc -l < commands; set -e; while read -r line; do bash -c "${line/#sonde/\"\$SONDE\"} -q" > out 2> err < /dev/null || { echo "$line"; cat err; }; done < commands
> 23
$ sonde demo -q
! sonde demo: sonde-demo/report.html is there already: --replace writes over it, -o DIR goes elsewhere
? 2
$ sonde demo -q --replace > /dev/null; sonde info sonde-demo/counter.db --json | python3 $CLI/js.py "[x['run'] for x in tab('runs')]"
> ['strings']

== where it cannot write, or has no models
require sonde info counter && sonde info english
$ touch file; sonde demo -o file/d
! sonde demo: file/d: cannot make the directory: File exists
? 2

== where the models are not
$ mkdir empty; cp "$SONDE" empty/sonde; cd empty; SONDE_MODELS= ./sonde demo -o d; ls
! sonde demo: counter: a bundled model, but it is neither in $SONDE_MODELS nor in share/sonde/models or tools/models beside the program
> sonde
