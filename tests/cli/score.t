# How good a model is: whole strings of a formal language, the next token, edits and their controls.

== published weights get every string right, and none without the direction of a counter
need seeds/counter-languages/models/shuffle2/model_20.pt
$ cp $SHARED/seeds/counter-languages/models/shuffle2/model_20.pt m.pt; sonde record m.pt -q --formal shuffle-2:n=200 --sites resid -o s.db > /dev/null; sonde label s.db -q --set one --builtin depth:1 > /dev/null; sonde probe covariance s.db -q --labels one --streams 'blocks.0.hook_resid_post' --save-direction d.npy > /dev/null
$ sonde score m.pt -q --formal shuffle-2:n=300,seed=9 --edit 'project-out blocks.0.hook_resid_post d.npy' --edit-control 5 -o out --json | python3 $CLI/js.py "s, [x['run'] for x in tab('scores')], tab('scores')[0]['positions_right']"
> ({'sequences_right': 1, 'sequences_right_edited': 0, 'sequences_right_control': 1}, ['unchanged', 'edited', 'control-1', 'control-2', 'control-3', 'control-4', 'control-5'], 1)
$ ls out
> result.json
> scores.csv
> scores.png
> scores.svg
$ sonde score m.pt -q --formal dyck-1:n=10
! sonde score: m.pt: 4 outputs, dyck-1 needs one for each of ()
? 2
$ sonde score m.pt -q --ids nothere.npy
! sonde score: m.pt says which symbols can follow: its score needs --formal
? 2

== the loss on the next token is the lens's at the last layer
need models/tinystories-656k
$ sonde probe logit-lens $SHARED/models/tinystories-656k -q --text 'Once upon a time' --json | python3 $CLI/js.py "[round(-x['next_logprob'], 5) for x in tab('sites')][-1]" > lens; sonde score $SHARED/models/tinystories-656k -q --text 'Once upon a time' --json | python3 $CLI/js.py "round(s['nats'], 5)" > score; diff lens score
$ sonde score $SHARED/models/tinystories-656k -q --text 'Once upon a time' --json | python3 $CLI/js.py "(lambda x: round(x['bits_per_byte'] * 0.6931471805599453 * 16 / (x['positions'] * x['nats']), 6))(tab('scores')[0])"
> 1.0

== a string is scored as a whole
$ python3 $CLI/recipe.py model.max_position_embeddings=8 'corpus.formal="dyck-1:n=20,len=2..8"' 'validation=[]' epochs=1 > r.json; sonde train r.json -o m -q > /dev/null; sonde score m -q --formal dyck-1:n=50,len=9..20
! sonde score: string 1 is longer than the model's context: a string is scored as a whole
? 2
$ sonde score m -q --formal dyck-1:n=10,len=8..8 --json | python3 $CLI/js.py "tab('scores')[0]['positions']"
> 80
$ sonde generate m --prompt '('
! sonde generate: this model has 2 outputs, which are not its vocabulary
? 2

== what it refuses
$ sonde score nothere
! sonde score: no input: give --text, --file, --jsonl, --conllu, --formal or --ids
? 2
$ sonde score nothere --text x
! sonde score: nothere: no such file or folder
? 2
$ sonde score nothere --text x --edit-control 3
! sonde score: --edit-control needs an --edit to replace
? 2

== controls need a direction
need models/tinystories-656k
$ sonde score $SHARED/models/tinystories-656k --text x --edit 'skip 0' --edit-control 3
! sonde score: --edit-control needs an edit with a direction (add, project-out, keep, flip), neurons or heads
? 2
