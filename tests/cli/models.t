# Commands that read a model and write nothing.

== families
$ sonde models --json | python3 $CLI/js.py "{'llama', 'gpt2', 'sonde', 'torch_encoder'} <= {x['family'] for x in tab('families')}, s['families'] == len(tab('families'))"
> (True, True)

== bundled models
$ sonde models --json | python3 $CLI/js.py "[x['name'] for x in tab('bundled')], s['bundled'] == sum(bool(x['folder']) for x in tab('bundled'))"
> (['counter', 'english'], True)
$ mkdir models models/counter; echo '{}' > models/counter/config.json; SONDE_MODELS=models sonde info counter
! sonde info: models/counter/config.json: model_type is missing
? 2
$ cp "$SONDE" sonde; SONDE_MODELS= ./sonde info english
! sonde info: english: a bundled model, but it is neither in $SONDE_MODELS nor in share/sonde/models or tools/models beside the program
? 2
$ echo x > english; sonde info english
! sonde info: english: neither a folder with config.json nor a llama2.c .bin or a PyTorch .pt file
? 2

== a model that is not there
$ sonde info nothere
! sonde info: nothere: no such file or folder
? 2
$ sonde tokenize nothere text
! sonde tokenize: nothere: no such file or folder
? 2
$ sonde generate nothere --prompt x
! sonde generate: nothere: no such file or folder
? 2
$ sonde verify nothere --reference x
! sonde verify: nothere: no such file or folder
? 2
$ sonde record nothere --text x -o s.db; ls
! sonde record: nothere: no such file or folder

== a folder that holds no model
$ mkdir m; sonde info m
! sonde info: m/config.json: cannot open: No such file or directory
? 2
$ echo '{}' > m/config.json; sonde info m
! sonde info: m/config.json: model_type is missing
? 2
$ echo 'x' > file; sonde info file
! sonde info: file: neither a folder with config.json nor a llama2.c .bin or a PyTorch .pt file
? 2

== info of a model
need models/tinystories-656k
$ sonde info $SHARED/models/tinystories-656k
> info
>
> parameters
>   model   $SHARED/models/tinystories-656k
>   sha256  187d0d5e8360d9625e40e0b35ec57d1ef0eea1a60ddcf09412246bed3484852f
>
> scalars
>   parameters      656000
>   bytes_file      2626168
>   n_layers        2
>   d_model         128
>   n_heads         8
>   n_kv_heads      4
>   d_head          16
>   d_mlp           384
>   d_vocab         2048
>   n_ctx           512
>   norm_eps        1e-06
>   rotary_dims     16
>   rotary_base     10000
>   tokenizer_size  2048
>   bos_id          1
>   eos_id          2
>   unk_id          0
>
> traits
>   property     value
>   ───────────  ──────────────────────────────────────
>   family       llama
>   weights      f32
>   norm         RMSNorm
>   norm place   before each part
>   positions    rotary, half-split
>   attention    causal
>   residual     serial
>   activation   silu
>   mlp          gated
>   unembedding  tied to the embedding
>   tokenizer    BPE, byte fallback without byte pieces
>
> sites
>   site                              layers  width  shape
>   ────────────────────────────────  ──────  ─────  ───────────
>   hook_embed                             -    128  [T, 128]
>   ln_final.hook_scale                    -      1  [T, 1]
>   ln_final.hook_normalized               -    128  [T, 128]
>   ln_final.hook_out                      -    128  [T, 128]
>   logits                                 -   2048  [T, 2048]
>   blocks.{i}.hook_resid_pre              2    128  [T, 128]
>   blocks.{i}.ln1.hook_scale              2      1  [T, 1]
>   blocks.{i}.ln1.hook_normalized         2    128  [T, 128]
>   blocks.{i}.ln1.hook_out                2    128  [T, 128]
>   blocks.{i}.attn.hook_q                 2    128  [T, 8, 16]
>   blocks.{i}.attn.hook_k                 2     64  [T, 4, 16]
>   blocks.{i}.attn.hook_v                 2     64  [T, 4, 16]
>   blocks.{i}.attn.hook_rot_q             2    128  [T, 8, 16]
>   blocks.{i}.attn.hook_rot_k             2     64  [T, 4, 16]
>   blocks.{i}.attn.hook_attn_scores       2      8  [8, T, T]
>   blocks.{i}.attn.hook_pattern           2      8  [8, T, T]
>   blocks.{i}.attn.hook_z                 2    128  [T, 8, 16]
>   blocks.{i}.attn.hook_result            2   1024  [T, 8, 128]
>   blocks.{i}.hook_attn_out               2    128  [T, 128]
>   blocks.{i}.hook_resid_mid              2    128  [T, 128]
>   blocks.{i}.ln2.hook_scale              2      1  [T, 1]
>   blocks.{i}.ln2.hook_normalized         2    128  [T, 128]
>   blocks.{i}.ln2.hook_out                2    128  [T, 128]
>   blocks.{i}.mlp.hook_pre                2    384  [T, 384]
>   blocks.{i}.mlp.hook_pre_linear         2    384  [T, 384]
>   blocks.{i}.mlp.hook_post               2    384  [T, 384]
>   blocks.{i}.hook_mlp_out                2    128  [T, 128]
>   blocks.{i}.hook_resid_post             2    128  [T, 128]
>
> meanings
>   site                              meaning
>   ────────────────────────────────  ────────────────────────────────────────────
>   hook_embed                        token embedding, after any scale factor
>   ln_final.hook_scale               denominator of the final norm
>   ln_final.hook_normalized          final norm before gain and bias
>   ln_final.hook_out                 final norm after gain and bias
>   logits                            unembedding of every position
>   blocks.{i}.hook_resid_pre         residual stream that enters the block
>   blocks.{i}.ln1.hook_scale         denominator of the norm before (post-LN: af…
>   blocks.{i}.ln1.hook_normalized    first norm before gain and bias
>   blocks.{i}.ln1.hook_out           first norm after gain and bias
>   blocks.{i}.attn.hook_q            queries, with bias, before rotary
>   blocks.{i}.attn.hook_k            keys, with bias, before rotary
>   blocks.{i}.attn.hook_v            values, with bias
>   blocks.{i}.attn.hook_rot_q        queries after rotary
>   blocks.{i}.attn.hook_rot_k        keys after rotary
>   blocks.{i}.attn.hook_attn_scores  scaled scores before the softmax, -inf wher…
>   blocks.{i}.attn.hook_pattern      attention pattern [head, query, key], rows …
>   blocks.{i}.attn.hook_z            values mixed by the pattern
>   blocks.{i}.attn.hook_result       each head's share of the attention output, …
>   blocks.{i}.hook_attn_out          what attention adds to the residual stream
>   blocks.{i}.hook_resid_mid         residual stream between attention and MLP (…
>   blocks.{i}.ln2.hook_scale         denominator of the norm before (post-LN: af…
>   blocks.{i}.ln2.hook_normalized    second norm before gain and bias
>   blocks.{i}.ln2.hook_out           second norm after gain and bias
>   blocks.{i}.mlp.hook_pre           input of the activation function (gated: th…
>   blocks.{i}.mlp.hook_pre_linear    the up projection (gated MLPs)
>   blocks.{i}.mlp.hook_post          neuron activations that enter the down proj…
>   blocks.{i}.hook_mlp_out           what the MLP adds to the residual stream
>   blocks.{i}.hook_resid_post        residual stream that leaves the block

== info of a model as JSON
need models/tinystories-656k
$ sonde info $SHARED/models/tinystories-656k --json | python3 $CLI/js.py "s['parameters'], s['n_layers'], s['d_model'], s['n_kv_heads'], [x for x in tab('sites') if x['site'] == 'blocks.{i}.attn.hook_pattern']"
> (656000, 2, 128, 4, [{'site': 'blocks.{i}.attn.hook_pattern', 'layers': 2, 'width': 8, 'shape': '[8, T, T]'}])

== info of a llama2.c model
need models/stories260k
$ sonde info $SHARED/models/stories260k/stories260K.bin --json | python3 $CLI/js.py "s['parameters'], s['n_layers'], s['d_vocab'], s['n_ctx'], r['warnings']"
> (260032, 5, 512, 512, [])

== tokenize
need models/tinystories-656k
$ sonde tokenize $SHARED/models/tinystories-656k 'Once upon a time'
> tokenize
>
> parameters
>   model  $SHARED/models/tinystories-656k
>   bos    auto
>
> scalars
>   tokens  6
>
> tokens
>   index   id  piece            begin  end  text
>   ─────  ───  ───────────────  ─────  ───  ───────────────
>       0    1  <|start_story|>      -    -  <|start_story|>
>       1   80  ▁                    -    -  ␣
>       2  147  On                   0    2  On
>       3  201  ce▁                  2    5  ce␣
>       4  282  upon▁a▁tim           5   15  upon a tim
>       5   57  e                   15   16  e
$ printf 'Once upon a time' | sonde tokenize $SHARED/models/tinystories-656k -q | tail -n 4
>       2  147  On                   0    2  On
>       3  201  ce▁                  2    5  ce␣
>       4  282  upon▁a▁tim           5   15  upon a tim
>       5   57  e                   15   16  e
$ sonde tokenize $SHARED/models/tinystories-656k one two --json | python3 $CLI/js.py "[(x['sequence'], x['id'], x['begin'], x['end'], x['text']) for x in tab('tokens')]"
> [(0, 1, None, None, '<|start_story|>'), (0, 80, None, None, ' '), (0, 719, 0, 3, 'one'), (1, 1, None, None, '<|start_story|>'), (1, 80, None, None, ' '), (1, 865, 0, 2, 'tw'), (1, 67, 2, 3, 'o')]
$ sonde tokenize $SHARED/models/tinystories-656k 'Once' --bos never --json | python3 $CLI/js.py "[x['piece'] for x in tab('tokens')]"
> ['▁', 'On', 'ce']
$ sonde tokenize $SHARED/models/tinystories-656k -- --json | tail -n 3
>       4   62  j                    2    3  j
>       5   71  s                    3    4  s
>       6  111  on                   4    6  on

== tokenize says what the vocabulary does not have
need models/tinystories-656k
$ sonde tokenize $SHARED/models/tinystories-656k '€' | tail -n 2
>       1  80  ▁                    -    -  ␣
>       2   0  <unk>                0    3  <unk>
! sonde tokenize: warning: 1 of 3 tokens are the tokenizer's unknown token
$ sonde tokenize $SHARED/models/tinystories-656k '€' -q --json | python3 $CLI/js.py "r['warnings']"
> ["1 of 3 tokens are the tokenizer's unknown token"]

== tokenize an empty text and bytes that are no text
need models/tinystories-656k
$ sonde tokenize $SHARED/models/tinystories-656k '' | tail -n 2
>   ─────  ──  ───────────────  ─────  ───  ───────────────
>       0   1  <|start_story|>      -    -  <|start_story|>
$ printf '\xff\xfeabc\x00' | sonde tokenize $SHARED/models/tinystories-656k -q --json | python3 $CLI/js.py "s['tokens'] > 3, tab('tokens')[-1]['end']"
> (True, 6)

== generate prints the published text to the byte
need models/stories260k
$ sonde generate $SHARED/models/stories260k/stories260K.bin --prompt "" --max-tokens 200 | cmp - $SHARED/models/stories260k/expected.txt

== generate continues a prompt and prints it
need models/tinystories-656k
$ sonde generate $SHARED/models/tinystories-656k --prompt 'Once upon a time' --max-tokens 12; echo
> Once upon a time, a little girl named Lily lived in a small house with her mom, dad, and her 

== generate the same in one go and token by token
need models/stories260k
$ m=$SHARED/models/stories260k/stories260K.bin; a=$(sonde generate $m --prompt 'Once upon' --max-tokens 60); b=$(sonde generate $m --prompt "$(sonde generate $m --prompt 'Once upon' --max-tokens 20)" --max-tokens 20); case $a in "$b"*) echo same;; *) echo "$a"; echo "$b";; esac
> same

== sampling is decided by the seed
need models/stories260k
$ m=$SHARED/models/stories260k/stories260K.bin; g() { sonde generate $m --prompt 'Once' --max-tokens 30 --temperature 1 "$@"; }; a=$(g); b=$(g --seed 42); c=$(g --seed 7); [ "$a" = "$b" ] && [ "$a" != "$c" ] && echo yes
> yes

== sampling among one token is greedy
need models/stories260k
$ m=$SHARED/models/stories260k/stories260K.bin; g() { sonde generate $m --prompt 'Once' --max-tokens 30 "$@"; }; a=$(g); b=$(g --temperature 1 --top-k 1); c=$(g --temperature 1 --top-p 0); [ "$a" = "$b" ] && [ "$a" = "$c" ] && echo yes
> yes

== generate stops at the end of the context and says so
need models/stories260k
$ sonde generate $SHARED/models/stories260k/stories260K.bin --prompt "" --max-tokens 100000 --ignore-eos > text; wc -l < text | tr -d ' ' | sed 's/[0-9]*/some lines/'
> some lines
! sonde generate: warning: stopped at the end of the context of 512 tokens

== generate refuses a prompt longer than the context
need models/stories260k
$ sonde generate $SHARED/models/stories260k/stories260K.bin --prompt "$(head -c 20000 /dev/zero | tr '\0' 'a')"
! sonde generate: the prompt has 20001 tokens, the context 512
? 2

== generate as JSON
need models/stories260k
$ sonde generate $SHARED/models/stories260k/stories260K.bin --prompt "" --max-tokens 3 --json | python3 $CLI/js.py "r['parameters']['text'], s['tokens'], [(x['id'], x['text'], round(x['logprob'], 3)) for x in tab('tokens')]"
> ('Once upon a', 3, [(403, 'Once', -0.244), (407, 'upon', -0.018), (261, 'a', -0.012)])

== generate needs a tokenizer
need reference/bert
$ sonde generate $SHARED/reference/bert --prompt x
! sonde generate: $SHARED/reference/bert: no tokenizer beside the weights (tokenizer.json)
? 2

== verify against published activations
need models/gpt-nano-sort/hf
$ sonde verify $SHARED/models/gpt-nano-sort/hf --reference $SHARED/models/gpt-nano-sort/hf/ref.safetensors --tolerance 1e-5 --json | python3 $CLI/js.py "r['command'], s['sites'], s['failed'], s['unknown'], all(x['ok'] and x['max_rel'] <= 1e-5 for x in tab('sites')), list(tab('sites')[0])"
> ('verify', 19, 0, 0, True, ['site', 'max_abs', 'max_rel', 'ok'])

== verify takes files that belong together and counts what it does not know
need models/gpt-nano-sort/hf
$ cd $SHARED/models/gpt-nano-sort/hf; sonde verify . --reference ref_b1.safetensors --reference ref_extra_b1.safetensors --tolerance 1e-5 --json -q | python3 $CLI/js.py "s['sites'], s['failed'], s['unknown'], r['warnings']"
> (23, 0, 1, ['1 names of the reference are no site of this model: probs'])
$ cd $SHARED/models/gpt-nano-sort/hf; sonde verify . --reference ref_b1.safetensors --reference ref_extra_b1.safetensors --strict -q > /dev/null
? 1
$ cd $SHARED/models/gpt-nano-sort/hf; sonde verify . --reference ref_extra.safetensors
! sonde verify: ref_extra.safetensors: holds no input_ids; give the file that does as a second --reference
? 2

== verify fails where the numbers are not the model's
need models/gpt-nano-sort/hf
$ cd $SHARED/models/gpt-nano-sort/hf; sonde verify . --reference ref.safetensors --tolerance 1e-9 --json -q | python3 $CLI/js.py "s['failed'] > 0"; exit ${PIPESTATUS[0]}
> True
? 1
$ python3 $CLI/edit_reference.py $SHARED/models/gpt-nano-sort/hf/ref.safetensors bad.safetensors blocks.1.hook_resid_pre 0.01; sonde verify $SHARED/models/gpt-nano-sort/hf --reference bad.safetensors --json | python3 $CLI/js.py "[(x['site'], round(x['max_abs'], 4)) for x in tab('sites') if not x['ok']]"; exit ${PIPESTATUS[0]}
> [('blocks.1.hook_resid_pre', 0.01)]
! sonde verify: warning: 1 of 19 sites fail: blocks.1.hook_resid_pre
? 1
$ python3 $CLI/edit_reference.py $SHARED/models/gpt-nano-sort/hf/ref.safetensors nan.safetensors blocks.1.hook_resid_pre nan; sonde verify $SHARED/models/gpt-nano-sort/hf --reference nan.safetensors -q --json | python3 $CLI/js.py "[(x['site'], x['max_abs']) for x in tab('sites') if not x['ok']], r['warnings']"; exit ${PIPESTATUS[0]}
> ([('blocks.1.hook_resid_pre', None)], ['blocks.1.hook_resid_pre: not a number on one side', '1 of 19 sites fail: blocks.1.hook_resid_pre'])
? 1

== verify takes any spelling of a site and refuses other shapes
need models/gpt-nano-sort/hf
$ python3 $CLI/edit_reference.py $SHARED/models/gpt-nano-sort/hf/ref.safetensors names.safetensors rename blocks.1.hook_resid_post=blocks.1.hook_out blocks.0.hook_resid_post=l_out-0; sonde verify $SHARED/models/gpt-nano-sort/hf --reference names.safetensors --json | python3 $CLI/js.py "s['sites'], s['failed'], s['unknown']"
> (19, 0, 0)
$ python3 $CLI/edit_reference.py $SHARED/models/gpt-nano-sort/hf/ref.safetensors shape.safetensors reshape blocks.1.hook_resid_pre; sonde verify $SHARED/models/gpt-nano-sort/hf --reference shape.safetensors -q --json | python3 $CLI/js.py "[x['site'] for x in tab('sites') if not x['ok']], r['warnings']"; exit ${PIPESTATUS[0]}
> (['blocks.1.hook_resid_pre'], ["blocks.1.hook_resid_pre: the reference's shape is not the model's [11, 48]", '1 of 19 sites fail: blocks.1.hook_resid_pre'])
? 1

== verify refuses what is no reference
need models/gpt-nano-sort/hf
$ printf 'nonsense' > x; sonde verify $SHARED/models/gpt-nano-sort/hf --reference x
! sonde verify: x: header of 7310308002159816558 bytes, at most 100000000 are allowed
? 2
$ sonde verify $SHARED/models/gpt-nano-sort/hf --reference $SHARED/models/gpt-nano-sort/hf/model.safetensors
! sonde verify: $SHARED/models/gpt-nano-sort/hf/model.safetensors: holds no input_ids; give the file that does as a second --reference
? 2

== the shared check of verify
need checks/verify
$ bash $SHARED/checks/verify "$SONDE"
> verified 8 of 8

== the shared check of generate
need checks/stories260k
$ bash $SHARED/checks/stories260k "$SONDE"
> equal for 464 of 464 bytes
