# Strings of formal languages as input, and labels from their inner variables.

== a token a symbol, by the tokenizer
need models/stories260k
$ sonde record $SHARED/models/stories260k/stories260K.bin --formal shuffle-2:n=2,len=2..10,generator=walk -o s.db --sites hook_embed -q > /dev/null; sonde label s.db --set token --builtin token -q > /dev/null; for k in depth depth:1 'depth:[' depth/length state; do sonde label s.db --set $k --builtin $k -q > /dev/null; done; for k in token depth depth:1 'depth:[' depth/length state; do echo "$k: $(sonde export s.db --labels $k -o - | tail -n +2 | grep -v 's>' | tr '\n' ';')"; done
> token: 0,0,";";0,1,(;0,2,[;0,3,];0,4,);1,0,";";1,1,[;1,2,[;1,3,];1,4,(;1,5,);1,6,[;1,7,];1,8,];
> depth: 0,1,1;0,2,2;0,3,1;0,4,0;1,1,1;1,2,2;1,3,1;1,4,2;1,5,1;1,6,2;1,7,1;1,8,0;
> depth:1: 0,1,1;0,2,1;0,3,1;0,4,0;1,1,0;1,2,0;1,3,0;1,4,1;1,5,0;1,6,0;1,7,0;1,8,0;
> depth:[: 0,1,0;0,2,1;0,3,0;0,4,0;1,1,1;1,2,2;1,3,1;1,4,1;1,5,1;1,6,2;1,7,1;1,8,0;
> depth/length: 0,1,1;0,2,1;0,3,0.333333333;0,4,0;1,1,1;1,2,1;1,3,0.333333333;1,4,0.5;1,5,0.2;1,6,0.333333333;1,7,0.142857143;1,8,0;
> state: 0,1,"1,0";0,2,"1,1";0,3,"1,0";0,4,"0,0";1,1,"0,1";1,2,"0,2";1,3,"0,1";1,4,"1,1";1,5,"0,1";1,6,"0,2";1,7,"0,1";1,8,"0,0";
$ sonde label s.db --set top --builtin stack-top
! sonde label: shuffle-2 has no stack-top
? 2
$ sonde label s.db --set x --builtin depth:3
! sonde label: shuffle-2 has no type '3', expected 1 to 2 or the symbol that begins it
? 2
$ sonde label s.db --set x --builtin state --kind real
! sonde label: --builtin state: its kind is class
? 2
$ sonde label s.db --set x --builtin depth --kind pair
! sonde label: --builtin depth: its kind is class or real
? 2
$ sonde label s.db --set r --builtin depth:1 --kind real --json | python3 $CLI/js.py "r['parameters']['kind'], s['labelled'], s['masked'], s['max']"
> ('real', 12, 2, 1)
$ sonde info s.db --json | python3 $CLI/js.py "[x['origin'] for x in tab('labels')][:2], [x['value'] for x in tab('origins') if x['property'] == 'input']"
> (['builtin token', 'builtin depth of shuffle-2'], ['{"kind":"formal","spec":"shuffle-2:n=2,len=2..10,generator=walk","sha256":"ce8f9d574d20eac0d2885c9a4ded21f2fb1cb92c0bb6fa559fb3e6b4d32b99f0"}'])

== the language's own ids where the model has no tokenizer, and the order that is given
need models/gpt-nano-sort
$ for o in '' ',ids=T)('; do rm -f s.db; sonde record $SHARED/models/gpt-nano-sort/hf --formal "dyck-1:n=2,len=2..6$o" -o s.db --sites hook_embed -q > /dev/null; sonde export s.db --rows -o - | tail -n +2 | tr '\n' ';'; echo; done
> run-1,0,0,1,(;run-1,0,1,2,);run-1,1,0,1,(;run-1,1,1,1,(;run-1,1,2,1,(;run-1,1,3,2,);run-1,1,4,2,);run-1,1,5,2,);
> run-1,0,0,2,(;run-1,0,1,1,);run-1,1,0,2,(;run-1,1,1,2,(;run-1,1,2,2,(;run-1,1,3,1,);run-1,1,4,1,);run-1,1,5,1,);
$ sonde label s.db --set top --builtin stack-top -q > /dev/null; sonde export s.db --labels top -o - | tail -n +2 | tr '\n' ';'; echo
> 0,0,(;0,1,empty;1,0,(;1,1,(;1,2,(;1,3,(;1,4,(;1,5,empty;
$ sonde record $SHARED/models/gpt-nano-sort/hf --formal shuffle-2:n=2 -o t.db
! sonde record: $SHARED/models/gpt-nano-sort/hf: id 3 of the symbol '(' of --formal shuffle-2:n=2, expected 0 to 2
? 2

== the same seed gives the same strings, another one others
need models/gpt-nano-sort
$ for s in 42 42 7; do rm -f s.db; sonde record $SHARED/models/gpt-nano-sort/hf --formal parity:n=20,len=2..10,seed=$s -o s.db --sites hook_embed -q > /dev/null; sonde export s.db --rows -o - | sha256sum; done | uniq -c | awk '{print $1}'
> 2
> 1

== depth goes on through the windows of a long string
need models/gpt-nano-sort
$ sonde record $SHARED/models/gpt-nano-sort/hf --formal dyck-1:n=20,len=20..60,generator=walk -o s.db --sites hook_embed --json -q | python3 $CLI/js.py "s['sequences'] > 20"
> True
$ sonde label s.db --set depth --builtin depth --json -q | python3 $CLI/js.py "s['masked']"
> 0
$ sonde label s.db --set token --builtin token -q > /dev/null; for l in depth token; do sonde export s.db --labels $l -o $l.csv -q > /dev/null; done; python3 -c "
\ import csv
\ depth = 0
\ whole = 0
\ for d, t in zip(csv.DictReader(open('depth.csv')), csv.DictReader(open('token.csv'))):
\     depth += 1 if t['value'] == '(' else -1
\     assert depth == int(d['value']), (d, t)
\     whole += depth == 0
\ print(depth, whole >= 20)"
> 0 True

== text recorded otherwise needs the language's name
need models/stories260k
$ printf '(()\n())(\n' > lines; sonde record $SHARED/models/stories260k/stories260K.bin --file lines -o s.db --sites hook_embed -q > /dev/null; sonde label s.db --set d --builtin depth
! sonde label: run 'run-1' was not recorded with --formal; name its language with --language
? 2
$ sonde label s.db --set d --builtin depth --language dyck-1 --json | python3 $CLI/js.py "s['labelled'] > 0 and s['masked'] > 2, r['warnings']"
> (True, ['1 sequences are no prefix of a string of dyck-1; their tokens are masked from where it ends'])
! sonde label: warning: 1 sequences are no prefix of a string of dyck-1; their tokens are masked from where it ends
$ sonde label s.db --set x --builtin depth --language dick-1
! sonde label: no formal language 'dick-1', expected dyck-N, shuffle-N, boolean-N, counter-N, parity, aa-star, abab-star, aabb-N, concat, cab, d-N, reset-dyck, tomita-1, tomita-2, tomita-3, tomita-4, tomita-5, tomita-6, tomita-7
? 2
$ sonde label s.db --set x --builtin token --language dyck-1
! sonde label: --language goes with --builtin depth, depth:TYPE, depth/length, stack-top or state
? 2

== what a specification must not be
need models/gpt-nano-sort
need models/tinystories-656k
$ r() { sonde record $SHARED/models/gpt-nano-sort/hf --formal "$1" -o s.db; }; r ''; r dyck; r dyck-9; r dyck-1:n=0; r dyck-1:len=3; r dyck-1:ids=T; r parity:generator=grammar; [ ! -e s.db ] || echo left
! sonde record: formal language '': expected NAME:n=1000,len=2..50
! sonde record: no formal language 'dyck', expected dyck-N, shuffle-N, boolean-N, counter-N, parity, aa-star, abab-star, aabb-N, concat, cab, d-N, reset-dyck, tomita-1, tomita-2, tomita-3, tomita-4, tomita-5, tomita-6, tomita-7
! sonde record: formal language 'dyck-9': the number of dyck is from 1 to 7
! sonde record: formal language: 'n=0', expected n=N (1 to 16777216), len=A..B (1 to 1048576), seed=N, generator=auto|grammar|walk, repeats=yes|no or ids=SYMBOLS
! sonde record: dyck-1 has no string of length 3 to 3
! sonde record: ids=T: expected T and then each symbol of dyck-1 (()) once
! sonde record: parity has no grammar generator; give generator=walk
$ sonde record $SHARED/models/gpt-nano-sort/hf --formal dyck-1 --text a -o s.db
! sonde record: more than one kind of input: give one of --text, --file, --jsonl, --conllu, --formal and --ids
? 2
$ sonde record $SHARED/models/gpt-nano-sort/hf --formal dyck-1:n=4,len=2..4 -o s.db --sites hook_embed -q
! sonde record: dyck-1: found 3 different strings of length 2 to 4, 4 are asked for; allow other lengths, or repeats=yes, or generator=walk
? 2
$ sonde record $SHARED/models/tinystories-656k --formal dyck-1:n=5,len=2..10 -o s.db
! sonde record: $SHARED/models/tinystories-656k: the tokenizer has no token for the symbol '(' of --formal dyck-1:n=5,len=2..10
? 2
$ sonde record $SHARED/models/tinystories-656k --formal 'd-3:n=5,len=2..10,ids=Tba' -o s.db
! sonde record: ids=Tba: $SHARED/models/tinystories-656k has a tokenizer, which gives the symbols their ids
? 2

== a published checkpoint: its own vocabulary gives the ids
need seeds/counter-languages
$ sonde record $SHARED/seeds/counter-languages/models/shuffle2/model_20.pt --formal shuffle-2:n=2,len=2..10,generator=walk -o s.db --sites 'blocks.*.hook_resid_post' -q 2> /dev/null > /dev/null; sonde export s.db --rows -o - | tail -n +2 | tr '\n' ';'; echo; sonde label s.db --set d --builtin depth -q > /dev/null; sonde export s.db --labels d -o - | tail -n +2 | tr '\n' ';'; echo
> run-1,0,0,3,(;run-1,0,1,2,[;run-1,0,2,4,];run-1,0,3,1,);run-1,1,0,2,[;run-1,1,1,2,[;run-1,1,2,4,];run-1,1,3,3,(;run-1,1,4,1,);run-1,1,5,2,[;run-1,1,6,4,];run-1,1,7,4,];
> 0,0,1;0,1,2;0,2,1;0,3,0;1,0,1;1,1,2;1,2,1;1,3,2;1,4,1;1,5,2;1,6,1;1,7,0;
