# What the bundled English model was made with.

== the n-gram baseline is Kneser-Ney's, by a second implementation
require /usr/bin/python3 -c "import numpy"
$ head -n 239 $CLI/../../tools/models/english/sample.jsonl > a.jsonl; tail -n 40 $CLI/../../tools/models/english/sample.jsonl > b.jsonl
$ for order in 2 3 5; do $CLI/../../tools/models/english/ngram-baseline --train a.jsonl --test b.jsonl --order $order | awk '$1 == "all" { print $6, $10 }' > seen; python3 $CLI/english_reference.py a.jsonl b.jsonl $order | cmp - seen; done

== the baseline over tokens reads our tokenizer as we do
require /usr/bin/python3 -c "import numpy"
$ head -n 239 $CLI/../../tools/models/english/sample.jsonl > a.jsonl
$ sonde tokenizer train --jsonl a.jsonl --vocab-size 500 --special '<|endoftext|>' -o t.json --json | python3 $CLI/js.py "s['tokens'] + s['texts']" > ours
$ $CLI/../../tools/models/english/ngram-baseline --train a.jsonl --test a.jsonl --tokenizer t.json | awk 'NR == 1 { print $5 }' | cmp - ours

== the sample and the tokenizer are what the corpus gives
require test -e /usr/share/wordnet/data.noun
$ $CLI/../../tools/models/english/make-corpus -o corpus | awk '{ print $1 }'
> train
> development
> held-out
$ cmp corpus/sample.jsonl $CLI/../../tools/models/english/sample.jsonl
$ sonde tokenizer train -q --jsonl corpus/train.jsonl --vocab-size 2048 --special '<|endoftext|>' --bos '<|endoftext|>' -o t.json > /dev/null; cmp t.json $CLI/../../tools/models/english/tokenizer.json
$ python3 -c "import json; key = lambda f: {json.loads(l)['synset'] for l in open(f)}; print(len(key('corpus/train.jsonl') & (key('corpus/held-out.jsonl') | key('corpus/development.jsonl'))))"
> 0

== the model is the one that its README tells of
$ sonde info $CLI/../../tools/models/english --json | python3 $CLI/js.py "s['parameters'], s['n_layers'], s['d_vocab'], s['n_ctx'], s['bos_id']"
> (1066112, 4, 2048, 128, 0)
$ sonde score $CLI/../../tools/models/english --jsonl $CLI/../../tools/models/english/sample.jsonl --json | python3 $CLI/js.py "1.6 < tab('scores')[0]['bits_per_byte'] < 1.7"
> True
$ sonde generate $CLI/../../tools/models/english --prompt 'a tree is a kind of' --max-tokens 5; echo
> a tree is a kind of plant.
