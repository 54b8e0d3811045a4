# Studies at --quick sizes: what is counted, what is written, what is refused.

== without a name they are listed
$ sonde study --json | python3 $CLI/js.py "[x['study'] for x in tab('studies')], all(x['paper'] and x['time'] for x in tab('studies'))"
> (['emergent-stack', 'formal-languages'], True)

== what cannot be run
$ sonde study stack
! sonde study: unknown study 'stack' (known: emergent-stack, formal-languages)
? 2
$ sonde study --quick
! sonde study: which study? `sonde study` lists them
? 2
$ sonde study emergent-stack --weights nowhere --quick; ls -A
! sonde study: --weights nowhere: no such folder
$ sonde study formal-languages --weights nowhere --quick -o kept; ls -A
! sonde study: --weights nowhere: no such folder
$ mkdir -p empty/dyck1; touch empty/dyck1/model_x.pt empty/dyck1/model_3.ptx; sonde study emergent-stack --weights empty --quick -o out
! sonde study: --weights empty: no model_N.pt in dyck1, shuffle2, shuffle4 or shuffle6
? 2
$ echo damage > empty/dyck1/model_3.pt; sonde study emergent-stack --weights empty --quick -o out 2>&1 | cut -d: -f1-2; ls
> sonde study: empty/dyck1/model_3.pt
> empty
$ sonde study formal-languages --weights empty --quick -o out
! sonde study: --weights empty: no folder of a known language in ../data
? 2
$ mkdir held; touch held/study.db; sonde study formal-languages -o held --quick; ls held
> study.db
! sonde study: held: holds a study already; give another folder: -o DIR
$ touch file; sonde study formal-languages -o file --quick 2>&1 | cut -c1-20; ls -l file | cut -c1
> sonde study: file: c
> -

== strings that are none of the language are named by file and line
need seeds/counter-languages/models
$ mkdir -p w/models data; ln -s $SHARED/seeds/counter-languages/models/dyck1 w/models/dyck1; mkdir -p w/data/Dyck-1; printf '()\n(()\n())\n' > w/data/Dyck-1/train_src.txt; sonde study emergent-stack --weights w/models --quick -o out 2>&1 | grep -o 'train_src.txt:3: .*'; test ! -e out
> train_src.txt:3: ')' cannot stand at position 2 of a string of dyck-1

== the published counts, by a count of its own, and everything that is written
need seeds/counter-languages/models
$ sonde study emergent-stack --weights $SHARED/seeds/counter-languages/models --quick -q --json -o out > r; python3 $CLI/js.py "[(x['right'], x['strings'], x['scored right'], x['scored'], round(x['batch mean'], 6)) for x in tab('accuracy') if x['bin'] == 'bin 2']" < r
> [(625, 2000, 625, 1999, 0.312831), (345, 2000, 344, 1999, 0.171759)]
$ D=$SHARED/seeds/counter-languages; n() { python3 $CLI/study_check.py ids $1.npy $2 "$3"; sonde record $4 --ids $1.npy --sites logits -o $1.db -q > /dev/null 2>&1; sonde export $1.db --stream logits -o $1-logits.npy -q > /dev/null; python3 $CLI/study_check.py count $1-logits.npy $2 "$5"; }; n dyck $D/data/Dyck-1/val_src_bin2.txt 'T()' $D/models/dyck1/model_19.pt '()'; n shuffle $D/data/Shuffle-2/val_src_bin2.txt 'T)[(]' $D/models/shuffle2/model_20.pt '()[]'
> 625 2000 625 1999 0.312831
> 345 2000 344 1999 0.171759
$ python3 $CLI/js.py "[c['name'] for c in r['checks'] if not c['ok'] and ('strings right' in c['name'] or 'batch mean' in c['name'] or 'length' in c['name'] or 'covariance' in c['name'])], len(r['checks']) > 20" < r
> ([], True)
$ D=$SHARED/seeds/counter-languages; for l in Dyck-1 Shuffle-2; do head -n 1000 $D/data/$l/train_src.txt > 1000.txt; python3 $CLI/study_check.py share 1000.txt $D/data/$l/val_src_bin0.txt; done > shares; python3 $CLI/js.py "''.join('%.6f %.6f\n' % (x['pads'], x['in training']) for x in tab('protocol'))" < r > seen; head -n 2 seen | cmp - shares; wc -l < shares
> 2
$ cmp r out/result.json; ls out | grep -v -e '\.svg' -e '\.csv' -e '\.npy' | xargs; sonde check out/study.db --json -q | python3 $CLI/js.py "s['problems']"; sonde info out/study.db --json | python3 $CLI/js.py "[x['run'] for x in tab('runs')]"
> ablations-attention.png ablations-final.png accuracy.png attention-dyck-1-1.png attention-dyck-1-2.png attention-dyck-1-3.png attention-shuffle-2-1.png attention-shuffle-2-2.png attention-shuffle-2-3.png directions localisation-dyck-1.png localisation-shuffle-2.png probes-dyck-1.png probes-shuffle-2.png report.html result.json study.db
> 0
> ['dyck-1-train', 'shuffle-2-train', 'dyck-1-bin0', 'shuffle-2-bin0', 'dyck-1-attention', 'shuffle-2-attention']
$ grep -c -E 'https?://[^w]|<script' out/report.html; grep -o '<h2>[A-Z][^<]*' out/report.html | cut -c5-
> 0
> Contents
> Accuracy by length
> What the published protocol hides
> Probes by complexity
> Localisation
> Ablations
> Attention
$ sonde report out/study.db -o again.html -q > /dev/null; grep -q 'Ablations' again.html && echo there
> there
$ sonde study emergent-stack --weights $SHARED/seeds/counter-languages/models --quick -o out
! sonde study: out: holds a study already; give another folder: -o DIR
? 2

== Parity is not learned where Dyck-1 is, and aa* with cosine positions alone
$ sonde study formal-languages --quick -q --json -o out > r; echo $?; python3 $CLI/js.py "[c['name'] for c in r['checks'] if not c['ok']], [(x['language'], x['positions'], x['chosen on'], x['bin 0'] > .99) for x in tab('trials')]" < r
> 0
> ([], [('dyck-1', 'none', 'validation', True), ('parity', 'none', 'validation', False), ('aa-star', 'none', 'bin 0', False), ('aa-star', 'cosine', 'bin 0', True)])
$ ls out/models | xargs; sonde info out/models/dyck-1-none --json -q | python3 $CLI/js.py "s['parameters']"
> aa-star-cosine aa-star-none dyck-1-none parity-none
> 8706

== from nothing: models trained here (what five random directions do to one trained so shortly is chance)
$ sonde study emergent-stack --quick -q --json -o out > r; python3 $CLI/js.py "[c['name'] for c in r['checks'] if not c['ok'] and c['name'].startswith('dyck-1') and 'random directions' not in c['name']], [(x['model'], x['validation'] > .99, x['bin 0'] > .99) for x in tab('models')]" < r
> ([], [('dyck-1', True, True), ('shuffle-2', True, True)])
$ python3 $CLI/js.py "[max((x['validation'], -x['loss'], x['seed'], x['epoch']) for x in tab('epochs') if x['model'] == m['model'])[2:] == (m['seed'], m['epoch']) for m in tab('models')], [x['model'] for x in tab('epochs') if x['kept'] == 'yes']" < r
> ([True, True], ['dyck-1', 'shuffle-2'])
$ python3 $CLI/js.py "all(x['control'] < abs(x['r, depth/length']) and abs(x['held out']) <= 1 for x in tab('localisation'))" < r
> True
$ sonde record out/models/dyck-1 --formal dyck-1:n=3 -o s.db -q > /dev/null; echo $?
> 0
