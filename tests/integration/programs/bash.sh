# Pipelines, substitutions, a coprocess, traps, jobs, arithmetic: 1,000 numbers take part.
sum() { local total=0 n; while read -r n; do total=$((total + n)); done; echo "$total"; }
seq 1 1000 | tac | sum
diff <(seq 1 5 | sed 's/3/three/') <(seq 1 5) || echo "diff says $?"
coproc { while read -r line; do echo "${line^^}"; done; }
echo "through a coprocess" >&"${COPROC[1]}"
read -r answer <&"${COPROC[0]}"
echo "$answer"
for n in 1 2 3 4 5 6 7 8; do (sleep 0.0$n; exit "$n") & pids[n]=$!; done
codes=
for n in 8 7 6 5 4 3 2 1; do wait "${pids[n]}" || codes+=" $?"; done
echo "jobs:$codes"
trap 'echo "trapped USR1"' USR1
kill -USR1 $$
bash -c 'trap "echo leaving" EXIT; kill -TERM $$' || echo "ended by $?"
declare -A squares
for n in {1..20}; do squares[$n]=$((n * n)); done
echo "${squares[17]} ${#squares[@]}"
printf '%s\n' delta alpha charlie bravo | sort | paste -sd,
cat <<<"here $(echo "and $(echo there)")"
