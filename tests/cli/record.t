# Commands that write or read a store. Times and memory differ from run to run and are not compared.

== a dry run counts and writes nothing
need models/tinystories-656k
$ sonde record $SHARED/models/tinystories-656k --text 'Once upon a time' --text 'The end' --dry-run | grep -v peak_rss
> record
>
> parameters
>   model     $SHARED/models/tinystories-656k
>   sites     resid
>   dtype     f32
>   compress  none
>   bos       auto
>   mem       1073741824
>   dry_run   yes
>
> scalars
>   sequences          2
>   tokens             10
>   rows               30
>   bytes_raw          15360
>   bytes_stored       1441792
>   seconds_forward    -
>   seconds_total      -
>   tokens_per_second  -
>
> streams
>   stream                    space  dtype  width  rows  bytes
>   ────────────────────────  ─────  ─────  ─────  ────  ─────
>   hook_embed                token  f32      128    10   5120
>   blocks.0.hook_resid_post  token  f32      128    10   5120
>   blocks.1.hook_resid_post  token  f32      128    10   5120
$ ls -A

== the estimate is within 2 % of the file, maps and long texts included
need data/text/tinystories-600.jsonl
$ r() { sonde record $SHARED/models/tinystories-656k --jsonl $SHARED/data/text/tinystories-600.jsonl --sites $1 --max-tokens $2 --json -q "${@:3}"; }; for a in 'resid 15000' 'resid,attn,ffn 4000' 'all 600'; do e=$(r $a --dry-run | python3 $CLI/js.py "s['bytes_stored']"); r $a -o s.db > j; python3 $CLI/js.py "abs($e / s['bytes_stored'] - 1) < 0.02" < j; [ "$(stat -c %s s.db)" = "$(python3 $CLI/js.py "s['bytes_stored']" < j)" ] || echo size; rm s.db; done
> True
> True
> True

== record names its scalars as the contract does
need models/tinystories-656k
$ sonde record $SHARED/models/tinystories-656k --text 'Once upon a time' -o s.db --json | python3 $CLI/js.py "r['sonde'], r['command'], list(s), s['sequences'], s['tokens'], s['rows'], s['bytes_raw'], [x['stream'] for x in tab('streams')]"
> ('0.1.0', 'record', ['sequences', 'tokens', 'rows', 'bytes_raw', 'bytes_stored', 'seconds_forward', 'seconds_total', 'tokens_per_second', 'peak_rss_bytes'], 1, 6, 18, 9216, ['hook_embed', 'blocks.0.hook_resid_post', 'blocks.1.hook_resid_post'])
$ sonde info s.db --json | python3 $CLI/js.py "[(x['run'], x['state'], x['tokens']) for x in tab('runs')], [x['stream'] for x in tab('streams')]"
> ([('run-1', 'complete', 6)], ['hook_embed', 'blocks.0.hook_resid_post', 'blocks.1.hook_resid_post'])
$ sonde check s.db --full --json | python3 $CLI/js.py "s['problems'], r['checks'][0]['ok']"
> (0, True)

== every way to give the same text gives the same tokens
need models/tinystories-656k
$ printf 'Once upon a time\nThe end\n' > lines; printf '{"text": "Once upon a time"}\n{"text": "The end"}\n' > jsonl; printf 'Once upon a time\r\nThe end' > crlf
$ i=0; for a in "--file lines" "--file crlf" "--jsonl jsonl" "--jsonl jsonl --field text"; do i=$((i + 1)); sonde record $SHARED/models/tinystories-656k $a -o $i.db -q > /dev/null < lines; sonde export $i.db --rows -o - | tail -n +2 | sha256sum; done | sort -u | wc -l
> 1
$ sonde record $SHARED/models/tinystories-656k --text 'Once upon a time' --text 'The end' -o t.db -q > /dev/null; sonde export t.db --rows -o - | cmp - <(sonde export 1.db --rows -o -)

== ids are fed as they are
need models/gpt-nano-sort/hf
$ python3 $CLI/npy.py ids ids.npy 0 1 2 2 -1 2 1 0 0 1; sonde record $SHARED/models/gpt-nano-sort/hf --ids ids.npy -o s.db -q > /dev/null; sonde export s.db --rows -o -
> run,sequence,position,id,token
> run-1,0,0,0,0
> run-1,0,1,1,1
> run-1,0,2,2,2
> run-1,0,3,2,2
$ python3 $CLI/npy.py ids ids.npy 0 3; sonde record $SHARED/models/gpt-nano-sort/hf --ids ids.npy -o t.db
! sonde record: ids.npy: sequence 0, position 1: id 3, expected 0 to 2
? 2
$ sonde record $SHARED/models/gpt-nano-sort/hf --text 012 -o t.db
! sonde record: $SHARED/models/gpt-nano-sort/hf: no tokenizer beside the weights (tokenizer.json)
? 2

== an unknown site names the nearest, and one that this family lacks is an error
need models/tinystories-656k
$ sonde record $SHARED/models/tinystories-656k --text x -o s.db --sites blocks.0.hook_resid_pots
! sonde record: no site is named 'blocks.0.hook_resid_pots'; the nearest are blocks.*.hook_resid_post, blocks.*.hook_resid_pre, blocks.*.hook_resid_mid
? 2
$ sonde record $SHARED/models/tinystories-656k --text x -o s.db --sites hook_pos_embed
! sonde record: this model has no site 'hook_pos_embed'
? 2
$ sonde record $SHARED/models/tinystories-656k --text x -o s.db --sites blocks.7.hook_mlp_out
! sonde record: site 'blocks.7.hook_mlp_out': no such layer, the model has layers 0 to 1
? 2
$ ls -A

== both spellings name the same stream
need models/tinystories-656k
$ sonde record $SHARED/models/tinystories-656k --text x --sites blocks.1.hook_out,l_out-0 --dry-run --json | python3 $CLI/js.py "[x['stream'] for x in tab('streams')]"
> ['blocks.0.hook_resid_post', 'blocks.1.hook_resid_post']

== an item longer than the context is cut into windows, and the store says so
need data/text/tinyshakespeare.txt
$ sonde record $SHARED/models/tinystories-656k --file $SHARED/data/text/tinyshakespeare.txt --whole --max-tokens 1200 -o s.db --json | python3 $CLI/js.py "s['sequences'], s['tokens'], r['warnings']"
> (3, 1200, ['1 of 1 items are longer than the context of 512 tokens and were cut into windows (2 more sequences)'])
! sonde record: warning: 1 of 1 items are longer than the context of 512 tokens and were cut into windows (2 more sequences)
$ sonde info s.db --json | python3 $CLI/js.py "tab('runs')[0]['windows']"
> 2
$ sonde export s.db --rows -o - | python3 -c "import csv,sys; r=list(csv.DictReader(sys.stdin)); print([x['token'] for x in r if x['position']=='0'], ''.join(x['token'] for x in r if x['sequence']=='1')[:60].encode())"
> ['<|start_story|>', '<|start_story|>', '<|start_story|>'] b'<|start_story|>ty.\n\nSecond Citizen:\nConsider you what servic'

== items without a token are left out and counted
need models/tinystories-656k
$ printf 'a\n\n\nb\n' > f; sonde record $SHARED/models/tinystories-656k --file f --bos never -o s.db --json -q | python3 $CLI/js.py "s['sequences']"
> 2
$ sonde record $SHARED/models/stories260k/stories260K.bin --text '' --bos never -o t.db --json | python3 $CLI/js.py "s['sequences'], r['warnings']"
> (0, ['1 of 1 items gave no token and were left out'])
! sonde record: warning: 1 of 1 items gave no token and were left out

== all is every site that info names
need models/tinystories-656k
$ sonde record $SHARED/models/tinystories-656k --text 'Once upon' --sites all -o s.db -q > /dev/null; sonde info $SHARED/models/tinystories-656k --json | python3 $CLI/js.py "sum(x['layers'] or 1 for x in tab('sites'))"; sonde info s.db --json | python3 $CLI/js.py "len(tab('streams'))"; sonde export s.db --streams all -o x.npz --json | python3 $CLI/js.py "s['arrays']"
> 51
> 51
> 51

== maps are exported in the type that is stored
need models/tinystories-656k
$ sonde record $SHARED/models/tinystories-656k --text 'Once upon' --sites attn --dtype f16 -o s.db -q > /dev/null; sonde export s.db --stream blocks.0.attn.hook_pattern --sequence 0 -o x.npy --json | python3 $CLI/js.py "tab('arrays')[0]['dtype'], tab('arrays')[0]['bytes']"; python3 $CLI/npy.py shape x.npy
> ('f16', 576)
> <f2 False (8, 6, 6) 288

== a limit of the address space that leaves BLAS no memory is an error, not a wait for ever
need models/tinystories-656k
require ! grep -aq __asan_init "$SONDE"
$ (ulimit -v 250000; timeout 20 "$SONDE" record $SHARED/models/tinystories-656k --text x -o s.db --threads 1 -q)
! sonde record: the limit of the address space (ulimit -v) is too low for matrix products in 1 thread: 128 MiB are needed for each
? 2
$ (ulimit -v 250000; timeout 20 "$SONDE" generate $SHARED/models/tinystories-656k --prompt x -q)
! sonde generate: the limit of the address space (ulimit -v) is too low for matrix products in 1 thread: 128 MiB are needed for each
? 2

== the activations do not depend on threads or memory
need data/text/tinystories-600.jsonl
$ for a in "--threads 1" "--threads 2" "--threads 3 --mem 200M"; do rm -f s.db; sonde record $SHARED/models/tinystories-656k --jsonl $SHARED/data/text/tinystories-600.jsonl --sites all --max-tokens 3000 -o s.db -q $a > /dev/null; sonde export s.db --streams all -o x.npz -q > /dev/null; sha256sum x.npz; done | sort -u | wc -l
> 1

== peak memory stays inside the budget
need data/text/tinystories-600.jsonl
require ! grep -aq __asan_init "$SONDE"
$ for m in 256 400; do sonde record $SHARED/models/tinystories-656k --jsonl $SHARED/data/text/tinystories-600.jsonl --sites resid,attn --max-tokens 15000 --mem ${m}M -o $m.db --json -q | python3 $CLI/js.py "s['peak_rss_bytes'] <= $m * 2 ** 20"; done
> True
> True

== a budget that is too small is an error
need data/text/tinyshakespeare.txt
$ sonde record $SHARED/models/tinystories-656k --file $SHARED/data/text/tinyshakespeare.txt --whole --max-tokens 512 --sites attn -o s.db --mem 1M
!~ sonde record: of --mem 1 MiB, * are for the program and its queue: a sequence of 512 tokens needs *
? 2

== a second run of the same name is refused, another name is added
need models/tinystories-656k
$ sonde record $SHARED/models/tinystories-656k --text x -o s.db -q > /dev/null; sonde record $SHARED/models/tinystories-656k --text x -o s.db --run run-1
! sonde record: s.db: run 'run-1' exists already (complete); choose another name, or resume it
? 2
$ sonde record $SHARED/models/tinystories-656k --text y -o s.db --run other -q > /dev/null; sonde export s.db --rows -o -
! sonde export: s.db: the store holds several runs, name one: run-1, other
? 2
$ sonde export s.db --rows --run other -o - | head -n 2
> run,sequence,position,id,token
> other,0,0,1,<|start_story|>

== resume refuses another input, and does nothing where all is done
need models/tinystories-656k
$ sonde record $SHARED/models/tinystories-656k --text x -o s.db -q > /dev/null; sonde record $SHARED/models/tinystories-656k --text y -o s.db --resume
!~ sonde record: s.db: run 'run-1' cannot be resumed: its input is *
? 2
$ sonde record $SHARED/models/tinystories-656k --text x -o s.db --resume --sites all
!~ sonde record: s.db: run 'run-1' cannot be resumed: *
? 2
$ sonde record $SHARED/models/tinystories-656k --text x -o s.db --resume --json | python3 $CLI/js.py "s['tokens'], r['parameters']['resumed_at'], r['warnings']"
> (3, 1, ['the run was complete; nothing was done'])
! sonde record: warning: the run was complete; nothing was done

== f16 and bf16 are the f32 values rounded once, and zlib changes no bit
need models/tinystories-656k
$ for a in "--dtype f32" "--dtype f16" "--dtype bf16" "--compress zlib"; do rm -f s.db; sonde record $SHARED/models/tinystories-656k --text 'Once upon a time there was a dog' -o s.db $a -q > /dev/null; sonde export s.db --stream blocks.1.hook_resid_post -o "${a##* }.npy" -q > /dev/null; done; cmp f32.npy zlib.npy; python3 $CLI/npy.py compare f32.npy f16.npy bf16.npy
> <f2 True
> <f4 True

== export and import give back what was recorded
need models/tinystories-656k
$ sonde record $SHARED/models/tinystories-656k --text 'Once upon a time' --text 'The end' -o a.db --sites resid,attn -q > /dev/null
$ s=blocks.1.hook_resid_post; sonde export a.db --stream $s -o x.npy; sonde export a.db --rows -o rows.csv -q > /dev/null; sonde import b.db --stream $s x.npy --rows rows.csv; sonde export b.db --stream $s -o y.npy -q > /dev/null; cmp x.npy y.npy; sonde export b.db --rows -o - | cmp - rows.csv; sonde check b.db --full -q > /dev/null
> export
>
> parameters
>   run   run-1
>   file  x.npy
>
> scalars
>   arrays  1
>   bytes   5120
>
> arrays
>   array                     dtype  shape      bytes
>   ────────────────────────  ─────  ─────────  ─────
>   blocks.1.hook_resid_post  f32    [10, 128]   5120
> import
>
> parameters
>   stream  blocks.1.hook_resid_post
>   file    x.npy
>   dtype   f32
>
> scalars
>   rows   10
>   width  128
$ sonde export a.db --streams '*resid*' -o x.npz -q > /dev/null; sonde export a.db --streams '*resid*' -o x.safetensors -q > /dev/null; for f in npz safetensors; do sonde import $f.db --stream blocks.1.hook_resid_post x.$f --rows rows.csv -q > /dev/null; sonde export $f.db --stream blocks.1.hook_resid_post -o $f.npy -q > /dev/null; cmp x.npy $f.npy; done; python3 -c "import zipfile; print(zipfile.ZipFile('x.npz').testzip(), zipfile.ZipFile('x.npz').namelist())"
> None ['blocks.0.hook_resid_post.npy', 'blocks.1.hook_resid_post.npy']
$ python3 $CLI/npy.py shape x.npy; sonde export a.db --stream blocks.0.attn.hook_pattern --sequence 0 -o p.npy -q > /dev/null; python3 $CLI/npy.py shape p.npy; sonde export a.db --streams attn -o p.npz -q > /dev/null; python3 -c "import zipfile; print(zipfile.ZipFile('p.npz').namelist())"
> <f4 False (10, 128) 1280
> <f4 False (8, 6, 6) 288
> ['blocks.0.attn.hook_pattern/0.npy', 'blocks.0.attn.hook_pattern/1.npy', 'blocks.1.attn.hook_pattern/0.npy', 'blocks.1.attn.hook_pattern/1.npy']
$ sonde export a.db --stream blocks.1.hook_resid_post -o x.csv -q > /dev/null; python3 $CLI/npy.py csv x.npy x.csv
> ['sequence', 'position', 'v0'] 10 True

== export says what is there
need models/tinystories-656k
$ sonde record $SHARED/models/tinystories-656k --text 'Once' -o s.db --sites resid,attn -q > /dev/null; sonde export s.db --stream blocks.0.hook_mlp_out -o x.npy
! sonde export: no stream 'blocks.0.hook_mlp_out' in run 'run-1'; it holds: hook_embed, blocks.0.attn.hook_pattern, blocks.0.hook_resid_post, blocks.1.attn.hook_pattern, blocks.1.hook_resid_post
? 2
$ sonde export s.db --stream blocks.0.attn.hook_pattern -o x.npy
! sonde export: blocks.0.attn.hook_pattern holds one map a sequence: choose one with --sequence K, or write an .npz or .safetensors
? 2
$ sonde export s.db --streams resid -o x.npy
! sonde export: x.npy: an .npy holds one array, not 3: write an .npz or .safetensors
? 2
$ sonde export s.db --stream hook_embed -o x.pickle
! sonde export: x.pickle: the ending says the format: .npy, .npz or .safetensors
? 2
$ sonde export s.db --stream hook_embed --sequence 7 -o x.npy
! sonde export: --sequence 7: the run holds sequences 0 to 0
? 2
$ sonde export s.db --rows --run no -o -
! sonde export: s.db: no run 'no'; runs of this store: run-1
? 2
$ sonde export s.db --stream hook_embed -o no/folder/x.npy
! sonde export: no/folder/x.npy: cannot write: No such file or directory
? 2
$ ls -A
> s.db

== import refuses what does not fit
need models/tinystories-656k
$ sonde record $SHARED/models/tinystories-656k --text 'Once' -o s.db -q > /dev/null; sonde export s.db --stream hook_embed -o x.npy -q > /dev/null; sonde export s.db --rows -o rows.csv -q > /dev/null
$ head -n 3 rows.csv > short.csv; sonde import t.db --stream a x.npy --rows short.csv
! sonde import: x.npy has 4 rows, short.csv names 2
? 2
$ printf 'a,b\n1,2\n' > bad.csv; sonde import t.db --stream a x.npy --rows bad.csv
! sonde import: bad.csv: the first line must name the columns; sequence and position are needed
? 2
$ sed 's/,1,/,0,/' rows.csv > twice.csv; sonde import s.db --run run-1 --stream a x.npy --rows twice.csv
! sonde import: s.db: rows 0 and 1 are both of sequence 0, position 0
? 2
$ sed '3s/,[0-9]*,/,many,/' rows.csv > words.csv; sonde import t.db --stream a x.npy --rows words.csv
! sonde import: words.csv: line 3: sequence 'many', expected a whole number from 0 to 9223372036854775807
? 2
$ printf 'junk' > junk.npy; sonde import t.db --stream a junk.npy --rows rows.csv
! sonde import: junk.npy: not an .npy file
? 2
$ python3 -c "import zipfile; zipfile.ZipFile('c.npz', 'w', zipfile.ZIP_DEFLATED).write('x.npy', 'a.npy')"; sonde import t.db --stream a c.npz --rows rows.csv
! sonde import: c.npz: a is compressed; write it with numpy.savez, not savez_compressed
? 2
$ python3 -c "import zipfile; zipfile.ZipFile('d.npz', 'w').write('x.npy', 'b.npy')"; sonde import t.db --stream a d.npz --rows rows.csv
! sonde import: d.npz: holds no array 'a'; it holds: b
? 2
$ head -c 300 d.npz > e.npz; sonde import t.db --stream a e.npz --rows rows.csv
! sonde import: e.npz: not a sound .npz archive: it has no end record
? 2

== check finds damage and says where
need models/tinystories-656k
$ sonde record $SHARED/models/tinystories-656k --text 'Once upon a time there was a dog' -o s.db -q > /dev/null; python3 $CLI/damage.py s.db; sonde check s.db --full | tail -n 2; exit ${PIPESTATUS[0]}
> checks
>   FAILED  store is whole: 1 (no problems)
? 1
$ for n in 100 70000 200000; do head -c $n s.db > cut.db; sonde check cut.db --json -q | python3 $CLI/js.py "s['problems'] > 0"; echo ${PIPESTATUS[0]}; done
> True
> 1
> True
> 1
> True
> 1
$ printf 'not a store' > x; sonde check x
! sonde check: x: is not a Sonde store: no SQLite file
? 2
$ sonde check nothere.db
! sonde check: nothere.db: no such store
? 2

== a report holds what was stored
need models/tinystories-656k
$ sonde record $SHARED/models/tinystories-656k --text 'Once upon a time' -o s.db --sites resid,attn -q > /dev/null; sonde probe attention s.db --sequence 0 -q > /dev/null; sonde report s.db -o r.html --json | python3 $CLI/js.py "s['results']"; grep -c 'probe attention' r.html | sed 's/[1-9].*/named/'; grep -o 'https\?://[^"]*' r.html | grep -v www.w3.org | head -n 1
> 1
> named
$ sonde report s.db -o - | head -n 1
> <!DOCTYPE html>
$ sonde report s.db -o no/folder/r.html
! sonde report: no/folder/r.html: cannot write: No such file or directory
? 2

== the result is the same in a locale with decimal commas
need models/tinystories-656k
require localedef -i de_DE -f UTF-8 ./de_DE.UTF-8
$ localedef -i de_DE -f UTF-8 ./de_DE.UTF-8 2> /dev/null; sonde record $SHARED/models/tinystories-656k --text 'Once upon a time' -o s.db --sites resid,attn -q > /dev/null; a() { "$@" verify $SHARED/reference/gpt2 --reference $SHARED/reference/gpt2/ref.safetensors; "$@" export s.db --stream hook_embed -o x.csv -q > /dev/null; cat x.csv; "$@" probe attention s.db --sequence 0 -q --no-store --json; "$@" verify $SHARED/reference/gpt2 --reference $SHARED/reference/gpt2/ref.safetensors --tolerance 1e-9 --json -q; }; a "$SONDE" > c.txt; a env LOCPATH=$PWD LC_ALL=de_DE.UTF-8 "$SONDE" > de.txt; cmp c.txt de.txt; wc -l < c.txt | sed 's/.*/compared/'
> compared

== record says what held it up
need models/tinystories-656k
$ sonde record $SHARED/models/tinystories-656k --text 'Once upon a time' -o s.db --json | python3 $CLI/js.py "r['parameters']['bounded_by'] in ('model', 'zlib', 'disk')"
> True
$ sonde record $SHARED/models/tinystories-656k --text 'Once upon a time' -o s.db --resume --json -q | python3 $CLI/js.py "'bounded_by' in r['parameters']"
> False
