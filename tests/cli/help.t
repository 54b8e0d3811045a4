# Help texts and usage errors. Help is compared whole, so a change of the tables shows in review.

== the list of commands
$ sonde --help
<< help/sonde.txt

== version
$ sonde --version
> sonde 0.1.0

== no command is an error and lists the commands
$ sonde 2>&1 | cmp - $CLI/help/sonde.txt; exit ${PIPESTATUS[0]}
? 2

== an unknown command names the nearest
$ sonde recrod
! sonde: unknown command 'recrod'; the nearest is 'record'
? 2
$ sonde xyzzy
! sonde: unknown command 'xyzzy'; 'sonde --help' lists them
? 2
$ sonde --json info
! sonde: unknown option --json; options follow the command
? 2

== help of models
$ sonde models --help
<< help/models.txt

== help of info
$ sonde info --help
<< help/info.txt

== help of tokenize
$ sonde tokenize --help
<< help/tokenize.txt

== help of tokenizer
$ sonde tokenizer --help
<< help/tokenizer.txt

== help of record
$ sonde record --help
<< help/record.txt

== help of a command by its other name
$ sonde help record | cmp - $CLI/help/record.txt

== help of label
$ sonde label --help
<< help/label.txt

== help of train
$ sonde train --help
<< help/train.txt

== help of study
$ sonde study --help
<< help/study.txt

== help of generate
$ sonde generate --help
<< help/generate.txt

== help of demo
$ sonde demo --help
<< help/demo.txt

== help of score
$ sonde score --help
<< help/score.txt

== help of verify
$ sonde verify --help
<< help/verify.txt

== help of export
$ sonde export --help
<< help/export.txt

== help of import
$ sonde import --help
<< help/import.txt

== help of check
$ sonde check --help
<< help/check.txt

== help of report
$ sonde report --help
<< help/report.txt

== help of bench
$ sonde bench --help
<< help/bench.txt

== help of completion
$ sonde completion --help
<< help/completion.txt

== help wins over everything else on the line
$ sonde record --nonsense --help | cmp - $CLI/help/record.txt

== every help fits 80 columns
$ for c in $(sonde --help | sed -n 's/^  \([a-z]*\) .*/\1/p'); do sonde $c --help; done | awk 'length > 80 { print; bad = 1 } END { exit bad }'

== an unknown option names the nearest
$ sonde record --site resid
! sonde record: unknown option --site; the nearest is --sites
? 2
$ sonde record --max 3
! sonde record: unknown option --max; the nearest is --max-tokens
? 2
$ sonde check --xyzzyplugh
! sonde check: unknown option --xyzzyplugh; 'sonde check --help' lists them
? 2
$ sonde check -x
! sonde check: unknown option -x; 'sonde check --help' lists them
? 2

== a missing value
$ sonde record m --sites
! sonde record: --sites needs a value: --sites PATTERN,..
? 2
$ sonde record m --sites --json
! sonde record: --sites needs a value: --sites PATTERN,..
? 2
$ sonde record m -o
! sonde record: --output needs a value: --output STORE
? 2

== a value of the wrong type
$ sonde record m --dtype f64
! sonde record: --dtype 'f64': expected f32, f16 or bf16
? 2
$ sonde record m --max-tokens many
! sonde record: --max-tokens 'many': expected a whole number
? 2
$ sonde record m --max-tokens 0
! sonde record: --max-tokens 0: must be at least 1
? 2
$ sonde record m --mem 12Q
! sonde record: --mem '12Q': expected a size such as 512M or 2G
? 2
$ sonde generate m --temperature hot
! sonde generate: --temperature 'hot': expected a number
? 2
$ sonde record m --seed -1
! sonde record: --seed -1: must be at least 0
? 2
$ sonde record m --threads 5000
! sonde record: --threads 5000: must be between 0 and 1024
? 2

== a value for a flag
$ sonde check --full=yes s.db
! sonde check: --full takes no value
? 2

== missing and unexpected arguments
$ sonde info
! sonde info: MODEL|STORE is missing; usage: sonde info MODEL|STORE
? 2
$ sonde info a b
! sonde info: unexpected argument 'b'; usage: sonde info MODEL|STORE
? 2
$ sonde import s.db
! sonde import: FILE is missing; usage: sonde import STORE --stream NAME FILE --rows ROWS.csv [--run NAME] [--compress none|zlib]
? 2
$ sonde models x
! sonde models: unexpected argument 'x'; usage: sonde models
? 2

== commands say which option they lack
$ sonde record m --text x
! sonde record: where to? -o STORE
? 2
$ sonde record m -o s.db
! sonde record: no input: give --text, --file, --jsonl, --conllu, --formal or --ids
? 2
$ sonde record m -o s.db --text x --file y
! sonde record: more than one kind of input: give one of --text, --file, --jsonl, --conllu, --formal and --ids
? 2
$ sonde record m -o s.db --text x --whole
! sonde record: --whole goes with --file
? 2
$ sonde verify m
! sonde verify: a reference is needed: --reference FILE
? 2
$ sonde generate m
! sonde generate: a prompt is needed: --prompt TEXT (it may be empty: --prompt '')
? 2
$ sonde label s.db --builtin position
! sonde label: a name is needed: --set NAME
? 2
$ sonde label s.db --set x
! sonde label: give one of --builtin, --from, --conllu and --sql
? 2
$ sonde label s.db --set x --conllu f
! sonde label: --conllu needs --column: upos, xpos, feats.Number, deprel, ..
? 2
$ sonde export s.db -o x.npy
! sonde export: give one of --stream, --streams, --rows and --labels
? 2
$ sonde export s.db --stream x
! sonde export: where to? -o FILE
? 2
$ sonde export s.db --rows -o x.npy
! sonde export: x.npy: --rows goes to a .csv file
? 2
$ sonde report s.db
! sonde report: where to? -o FILE.html
? 2
$ sonde bench nothing
! sonde bench: unknown part 'nothing'; expected gemm, forward, record, store, probe, lens, kv, train, figure or all
? 2
$ sonde completion fish
! sonde completion: unknown shell 'fish'; expected bash
? 2

== a name of control characters cannot play with the terminal
$ sonde $'re\ncord\e[31m'
! sonde: unknown command 're?cord?[31m'; the nearest is 'record'
? 2

== completion is bash that works
$ sonde completion bash > c.sh && . ./c.sh && COMP_WORDS=(sonde record --dry) COMP_CWORD=2 && _sonde && echo "${COMPREPLY[@]}"
> --dry-run
$ . <(sonde completion bash) && COMP_WORDS=(sonde rec) COMP_CWORD=1 && _sonde && echo "${COMPREPLY[@]}"
> record
$ . <(sonde completion bash) && COMP_WORDS=(sonde record --dtype '') COMP_CWORD=3 && _sonde && echo "${COMPREPLY[@]}"
> f32 f16 bf16

== a closed pipe ends quietly
$ sonde --help | head -n 1
> usage: sonde COMMAND [ARGUMENT..] [OPTION..]

== a full disk is an error
require test -w /dev/full
$ sonde --help > /dev/full
! sonde: standard output: No space left on device
? 2
$ sonde completion bash > /dev/full
! sonde: standard output: No space left on device
? 2
