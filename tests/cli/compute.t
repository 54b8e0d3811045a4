# Ways of computing linear products: --compute and --gemm. Cases that need oneDNN skip without it.

== bf16 is not OpenBLAS's
$ sonde verify m --reference r --compute bf16 --gemm openblas
! sonde verify: --compute bf16 is for --gemm onednn, OpenBLAS multiplies in f32
? 2
$ sonde record m --text x -o s.db --compute f16
! sonde record: --compute 'f16': expected f32 or bf16
? 2

== without oneDNN one line says so
need models/tinystories-656k
require ! "$SONDE" generate $SONDE_SHARED/models/tinystories-656k --prompt x --max-tokens 1 --compute bf16
$ sonde generate $SHARED/models/tinystories-656k --prompt x --compute bf16
!~ sonde generate: *oneDNN*
? 2

== verify says how far bf16 is from f32, at every kind of site
need reference/gpt2
require "$SONDE" verify $SONDE_SHARED/reference/gpt2 --reference $SONDE_SHARED/reference/gpt2/ref.safetensors --compute bf16 --tolerance 1 -q
$ v() { sonde verify $SHARED/reference/$1 --reference $SHARED/reference/$1/ref.safetensors --json -q "${@:2}"; }; for m in gpt2 llama bert gpt_neox; do v $m --compute bf16 --tolerance 0.1 | python3 $CLI/js.py "s['failed'], len(tab('compute')) >= 18, len({x['site'] for x in tab('compute')}) == len(tab('compute')), all(x['rms'] <= x['relative'] for x in tab('compute')), 1e-4 < s['compute_logits_relative'] < 0.2 and s['compute_worst'] >= s['compute_logits_relative'], [x['max_abs'] for x in tab('compute') if x['site'] == 'hook_embed'], r['parameters']['compute'][:4]"; done
> (0, True, True, True, True, [0], 'bf16')
> (0, True, True, True, True, [0], 'bf16')
> (0, True, True, True, True, [0], 'bf16')
> (0, True, True, True, True, [0], 'bf16')
$ v() { sonde verify $SHARED/reference/$1 --reference $SHARED/reference/$1/ref.safetensors --json -q "${@:2}"; }; for m in gpt2 llama; do v $m --gemm onednn | python3 $CLI/js.py "s['failed'], s['compute_worst'] < 1e-4, r['parameters']['compute'][:13]"; v $m | python3 $CLI/js.py "'compute' in r['parameters'], 'compute_worst' in s"; done
> (0, True, 'f32 by oneDNN')
> (False, False)
> (0, True, 'f32 by oneDNN')
> (False, False)

== bits in bf16 do not depend on threads, memory or which sequences are there
need models/tinystories-656k
require "$SONDE" generate $SONDE_SHARED/models/tinystories-656k --prompt x --max-tokens 1 --compute bf16
$ for a in "--threads 1" "--threads 2" "--threads 3 --mem 200M"; do rm -f s.db; sonde record $SHARED/models/tinystories-656k --jsonl $SHARED/data/text/tinystories-600.jsonl --sites all --max-tokens 3000 -o s.db -q --compute bf16 $a > /dev/null; sonde export s.db --streams all -o x.npz -q > /dev/null; sha256sum x.npz; done | sort -u | wc -l
> 1
$ for t in 'Once' 'Once upon a time there was'; do echo "$t"; done > two; r() { sonde record $SHARED/models/tinystories-656k --file $1 --sites resid,logits -o $2 -q --compute bf16 > /dev/null; sonde export $2 --stream logits -o $2.npy -q > /dev/null; }; r two a.db; head -1 two > one; r one b.db; n=$(($(stat -c %s b.db.npy) - 128)); cmp <(tail -c +129 a.db.npy | head -c $n) <(tail -c +129 b.db.npy) && echo same
> same
$ sonde info s.db --json | grep -o 'bf16 by oneDNN' | head -1
> bf16 by oneDNN

== a run is resumed as it was computed
need models/tinystories-656k
require "$SONDE" generate $SONDE_SHARED/models/tinystories-656k --prompt x --max-tokens 1 --compute bf16
$ sonde record $SHARED/models/tinystories-656k --text x --run a -o s.db -q --compute bf16 > /dev/null; sonde record $SHARED/models/tinystories-656k --text x --run a -o s.db -q --resume
!~ sonde record: *options*
? 2
