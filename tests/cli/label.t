# sonde label: every way to attach labels, and what each refuses.

== builtin labels
need models/tinystories-656k
$ sonde record $SHARED/models/tinystories-656k --text 'Once upon a time' --text 'The end' -o s.db --sites hook_embed -q > /dev/null; for k in token-id token previous-token previous-token-id position relative-position length sequence; do sonde label s.db --set $k --builtin $k -q > /dev/null; echo "$k: $(sonde export s.db --labels $k -o - | tail -n +2 | tr '\n' ';')"; done
> token-id: 0,0,1;0,1,80;0,2,147;0,3,201;0,4,282;0,5,57;1,0,1;1,1,80;1,2,247;1,3,183;
> token: 0,0,<|start_story|>;0,1, ;0,2,On;0,3,ce ;0,4,upon a tim;0,5,e;1,0,<|start_story|>;1,1, ;1,2,The ;1,3,end;
> previous-token: 0,1,<|start_story|>;0,2, ;0,3,On;0,4,ce ;0,5,upon a tim;1,1,<|start_story|>;1,2, ;1,3,The ;
> previous-token-id: 0,1,1;0,2,80;0,3,147;0,4,201;0,5,282;1,1,1;1,2,80;1,3,247;
> position: 0,0,0;0,1,1;0,2,2;0,3,3;0,4,4;0,5,5;1,0,0;1,1,1;1,2,2;1,3,3;
> relative-position: 0,0,0;0,1,0.2;0,2,0.4;0,3,0.6;0,4,0.8;0,5,1;1,0,0;1,1,0.333333333;1,2,0.666666667;1,3,1;
> length: 0,0,6;0,1,6;0,2,6;0,3,6;0,4,6;0,5,6;1,0,4;1,1,4;1,2,4;1,3,4;
> sequence: 0,0,0;0,1,0;0,2,0;0,3,0;0,4,0;0,5,0;1,0,1;1,1,1;1,2,1;1,3,1;
$ sonde label s.db --set position --builtin length
! sonde label: s.db: label set 'position' exists already; replace it, or choose another name
? 2
$ sonde label s.db --set position --builtin length --replace --json | python3 $CLI/js.py "r['parameters']['kind'], s"
> ('real', {'labelled': 10, 'masked': 0, 'min': 4, 'max': 6, 'mean': 5.2})
$ sonde label s.db --set x --builtin upos
! sonde label: run 'run-1' was not recorded from CoNLL-U, so it has no such column
? 2
$ sonde label s.db --set x --builtin depht
! sonde label: --builtin 'depht': expected token-id, token, previous-token, previous-token-id, position, relative-position, length, sequence, depth, depth:TYPE, depth/length, stack-top, state, or a CoNLL-U column (upos, xpos, lemma, form, deprel, head, feats.NAME, misc.NAME)
? 2

== columns of a CoNLL-U file, on the last, first or every token of a word
need models/tinystories-656k
$ printf '# sent_id = a\n# text = Dogs run\n1\tDogs\tdog\tNOUN\tNNS\tNumber=Plur\t2\tnsubj\t_\t_\n2\trun\trun\tVERB\tVBP\t_\t0\troot\t_\t_\n\n' > x.conllu
$ sonde record $SHARED/models/tinystories-656k --conllu x.conllu -o s.db --sites hook_embed -q > /dev/null; sonde export s.db --rows -o -
> run,sequence,position,id,token
> run-1,0,0,1,<|start_story|>
> run-1,0,1,80, 
> run-1,0,2,29,D
> run-1,0,3,67,o
> run-1,0,4,59,g
> run-1,0,5,89,s 
> run-1,0,6,622,run
$ for a in last first all; do sonde label s.db --set upos-$a --conllu x.conllu --column upos --align $a -q > /dev/null; echo "$a: $(sonde export s.db --labels upos-$a -o - | tail -n +2 | tr '\n' ';')"; done
> last: 0,5,NOUN;0,6,VERB;
> first: 0,2,NOUN;0,6,VERB;
> all: 0,2,NOUN;0,3,NOUN;0,4,NOUN;0,5,NOUN;0,6,VERB;
$ sonde label s.db --set number --conllu x.conllu --column feats.Number -q > /dev/null; sonde export s.db --labels number -o -
> sequence,position,value
> 0,5,Plur
$ sonde label s.db --set head --builtin head -q > /dev/null; sonde export s.db --labels head -o -
> sequence,position,value
> 0,5,6
$ sonde label s.db --set tense --conllu x.conllu --column feats.Tense --json | python3 $CLI/js.py "s['labelled'], s['masked'], s['classes'], r['warnings']"
> (0, 7, 0, ['nothing got a label'])
! sonde label: warning: nothing got a label
$ sonde label s.db --set x --conllu x.conllu --column uops
! sonde label: no CoNLL-U column "uops", expected id, form, lemma, upos, xpos, feats, head, deprel, deps, misc, feats.NAME or misc.NAME
? 2
$ sed 's/Dogs run/Dogs ran/' x.conllu > y.conllu; sonde label s.db --set y --conllu y.conllu --column upos
! sonde label: y.conllu:4: FORM "run" is not what "# text" has at byte 5
? 2
$ sed 's/= a/= b/' x.conllu > z.conllu; sonde label s.db --set z --conllu z.conllu --column upos
! sonde label: z.conllu: sentence 1 (b) is "Dogs run", but sequence 0 of run 'run-1' was recorded from (a) "Dogs run"
? 2
$ : > empty.conllu; sonde label s.db --set e --conllu empty.conllu --column upos
! sonde label: empty.conllu: holds 0 sentences, but sequence 0 of run 'run-1' was recorded from sentence 1
? 2
$ cp x.conllu keep; echo >> x.conllu; sonde label s.db --set again --builtin upos; cp keep x.conllu; sonde label s.db --set again --builtin upos --json | python3 $CLI/js.py "s['labelled']"
> 2
! sonde label: x.conllu: has changed since run 'run-1' was recorded from it
$ sonde info s.db --json | python3 $CLI/js.py "[x['set'] for x in tab('labels')]"
> ['upos-last', 'upos-first', 'upos-all', 'number', 'head', 'tense', 'again']

== labels of real treebank text, in windows too
need data/ud/Violet_Providence_eud_gold.conllu
$ c=$SHARED/data/ud/Violet_Providence_eud_gold.conllu; sonde record $SHARED/models/tinystories-656k --conllu $c -o s.db --sites hook_embed -q > /dev/null; sonde label s.db --set upos --conllu $c --column upos --json -q | python3 $CLI/js.py "s['classes'], s['labelled'], sum(x['n'] for x in tab('values')) == s['labelled']"
> (16, 2616, True)
$ sonde label s.db --set x --conllu $SHARED/data/ud/Lily_Providence_eud_gold.conllu --column upos
! sonde label: $SHARED/data/ud/Lily_Providence_eud_gold.conllu: sentence 10 (17235918) is "One two.", but sequence 9 of run 'run-1' was recorded from (17163946) "Up and down."
? 2

== a sentence cut into windows keeps every word's label
need models/tinystories-656k
$ python3 -c "
\ words = ['Lily', 'ran'] * 350
\ print('# sent_id = long\n# text = ' + ' '.join(words))
\ for i, w in enumerate(words, 1): print(f'{i}\t{w}\t_\t{[\"VERB\", \"NOUN\"][i % 2]}\t_\t_\t{max(i - 1, 0)}\tdep\t_\t_')
\ print()" > x.conllu; sonde record $SHARED/models/tinystories-656k --conllu x.conllu -o s.db --sites hook_embed --json -q | python3 $CLI/js.py "s['sequences'] > 1"
> True
$ sonde label s.db --set upos --conllu x.conllu --column upos --json -q | python3 $CLI/js.py "s['labelled'], [(x['value'], x['n']) for x in tab('values')]"
> (700, [('NOUN', 350), ('VERB', 350)])
$ sonde export s.db --rows -o rows.csv -q > /dev/null; sonde export s.db --labels upos -o upos.csv -q > /dev/null; python3 -c "
\ import csv
\ token = {(r['sequence'], r['position']): r['token'].strip() for r in csv.DictReader(open('rows.csv'))}
\ labels = list(csv.DictReader(open('upos.csv')))
\ print(sorted({(token[r['sequence'], r['position']], r['value']) for r in labels}), len({r['sequence'] for r in labels}) > 1)"
> [('Lily', 'NOUN'), ('ran', 'VERB')] True
$ sonde label s.db --set head --builtin head --json -q | python3 $CLI/js.py "690 < s['labelled'] < 699, r['warnings']"
> (True, ['1 tokens have their head in another window or on a shared token, and are masked'])

== labels from a TSV, and back
need models/tinystories-656k
$ sonde record $SHARED/models/tinystories-656k --text 'Once upon a time' --text 'The end' -o s.db --sites hook_embed -q > /dev/null
$ printf '0\t1\tA\n0\t2\tB\n1\t0\tA\n' > a.tsv; sonde label s.db --set a --from a.tsv
> label
>
> parameters
>   run    run-1
>   set    a
>   kind   class
>   space  token
>
> scalars
>   labelled  3
>   masked    7
>   classes   2
>
> values
>   value  n   share
>   ─────  ─  ──────
>   A      2  0.6667
>   B      1  0.3333
$ printf '0\tgood\n1\tbad\n' > s.tsv; sonde label s.db --set seq --from s.tsv --json | python3 $CLI/js.py "r['parameters']['space'], r['parameters']['kind'], s['labelled'], s['masked']"
> ('sequence', 'class', 2, 0)
$ printf '0\t0.5\n1\t2\n' > r.tsv; sonde label s.db --set real --from r.tsv --json | python3 $CLI/js.py "r['parameters']['kind'], s['mean']"
> ('real', 1.25)
$ printf '0\t1\n1\t2\n' > n.tsv; for k in auto real class; do sonde label s.db --set n-$k --from n.tsv --kind $k --json | python3 $CLI/js.py "r['parameters']['kind']"; done
> class
> real
> class
$ printf 'value,end,begin,sequence\nNP,3,1,0\n' > span.csv; sonde label s.db --set span --from span.csv --json | python3 $CLI/js.py "r['parameters']['kind'], tab('values')"
> ('span', [{'value': 'NP', 'n': 1, 'share': 1}])
$ printf '0\t1\t2\n0\t2\t1\n' > pair.tsv; sonde label s.db --set pair --from pair.tsv --kind pair -q > /dev/null; for x in a seq real span pair; do sonde export s.db --labels $x -o $x.csv -q > /dev/null; sonde label s.db --set $x-2 --from $x.csv $([ $x = pair ] && echo --kind pair) -q > /dev/null; sonde export s.db --labels $x-2 -o - | cmp - $x.csv; done

== CSV with quotes, a BOM, CRLF, empty lines and line ends inside quotes
need models/tinystories-656k
$ sonde record $SHARED/models/tinystories-656k --text 'Once upon a time' -o s.db --sites hook_embed -q > /dev/null
$ printf '\xef\xbb\xbfsequence,position,value\r\n0,0,"a ""b"", c"\r\n\r\n0,1,"two\nlines"\r\n0,2,plain\r\n0,3,\r\n' > a.csv; sonde label s.db --set a --from a.csv -q > /dev/null; sonde export s.db --labels a -o -
> sequence,position,value
> 0,0,"a ""b"", c"
> 0,1,"two
> lines"
> 0,2,plain

== what a label file must not be
need models/tinystories-656k
$ sonde record $SHARED/models/tinystories-656k --text 'Once upon a time' -o s.db --sites hook_embed -q > /dev/null
$ f() { printf "$1" > f; sonde label s.db --set f --from f; }; f '0\t1\n0\t2\t3\n'
! sonde label: f: line 2: 3 fields, expected 2
? 2
$ f() { printf "$1" > f; sonde label s.db --set f --from f; }; f '0\t99\tx\n'
! sonde label: f: line 1: position '99', expected a whole number from 0 to 5
? 2
$ f() { printf "$1" > f; sonde label s.db --set f --from f; }; f '7\t0\tx\n'
! sonde label: f: line 1: sequence '7', expected a whole number from 0 to 0
? 2
$ f() { printf "$1" > f; sonde label s.db --set f --from f; }; f 'who\t0\tx\n'
! sonde label: f: line 1: the run has no sequence 'who'
? 2
$ f() { printf "$1" > f; sonde label s.db --set f --from f; }; f '0\t-1\tx\n'
! sonde label: f: line 1: position '-1', expected a whole number from 0 to 5
? 2
$ f() { printf "$1" > f; sonde label s.db --set f --from f; }; f '0,0,"x\n'
! sonde label: f: line 1: a quote is never closed
? 2
$ f() { printf "$1" > f; sonde label s.db --set f --from f; }; f '0,0,"x"y\n'
! sonde label: f: line 1: text behind a closing quote
? 2
$ f() { printf "$1" > f; sonde label s.db --set f --from f; }; f '0\t0\tx\n0\t0\ty\n'
! sonde label: f: line 2: labels a place that an earlier line labelled
? 2
$ f() { printf "$1" > f; sonde label s.db --set f --from f; }; f '0\t0\ta\000b\n'
! sonde label: f: line 1: a NUL byte, which is no text
? 2
$ f() { printf "$1" > f; sonde label s.db --set f --from f; }; f ''
! sonde label: f: holds no rows
? 2
$ f() { printf "$1" > f; sonde label s.db --set f --from f; }; f 'x\n'
! sonde label: f: line 1: 1 fields, expected a header with the columns sequence and value, or rows of sequence, value; sequence, position, value; or sequence, begin, end, value
? 2
$ printf '0\t0\tnan\n' > f; sonde label s.db --set f --from f --kind real
! sonde label: f: line 1: value 'nan', expected a finite number
? 2
$ python3 -c "print(','.join(['0'] * 1000000))" > f; sonde label s.db --set f --from f
! sonde label: f: line 1: more than 256 fields
? 2
$ sonde label s.db --set f --from nothere.tsv
! sonde label: nothere.tsv: cannot open: No such file or directory
? 2
$ sonde label s.db --set f --from .
! sonde label: .: is a directory
? 2
$ sonde info s.db --json | python3 $CLI/js.py "tab('labels')"
> []

== SQL reads and cannot write
need models/tinystories-656k
$ sonde record $SHARED/models/tinystories-656k --text 'Once upon a time' -o s.db --sites hook_embed -q > /dev/null
$ sonde label s.db --set long --sql 'SELECT token, length(text) > 4 AS value FROM tokens' -q > /dev/null; sonde export s.db --labels long -o - | tail -n +2 | tr '\n' ';'; echo
> 0,0,1;0,1,0;0,2,0;0,3,0;0,4,1;0,5,0;
$ sonde label s.db --set x --sql 'DELETE FROM token' -q > /dev/null
!~ sonde label: *
? 2
$ sonde label s.db --set x --sql "SELECT token, load_extension('x') FROM tokens" -q > /dev/null
!~ sonde label: *
? 2
$ sonde label s.db --set x --sql 'SELECT 1' -q > /dev/null
!~ sonde label: *
? 2
$ sonde label s.db --set x --sql 'SELECT nonsense FROM tokens' -q > /dev/null
!~ sonde label: *
? 2
$ sonde check s.db -q > /dev/null

== the shared check of part-of-speech probes
need checks/probe-upos
$ bash $SHARED/checks/probe-upos "$SONDE"
~ L0 acc *
