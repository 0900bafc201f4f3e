# A history with fixed dates has fixed hashes; clone, merge, gc and fsck start a dozen helpers.
export GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@example.com GIT_COMMITTER_NAME=C GIT_COMMITTER_EMAIL=c@example.com
export GIT_AUTHOR_DATE='2020-01-01T00:00:00Z' GIT_COMMITTER_DATE='2020-01-01T00:00:00Z' GIT_PAGER=cat
git init -q -b main source
cd source
for n in 1 2 3 4 5 6; do seq "$((n * 100))" >"file$n"; git add .; git commit -q -m "commit $n"; done
git checkout -q -b side HEAD~2
echo side >other; git add other; git commit -q -m side
git checkout -q main
git merge -q --no-edit side
git rev-parse HEAD
git log --oneline --graph --stat | cat
git gc -q --prune=now
git fsck --full --strict 2>&1
cd ..
git clone -q --no-local source copy
cd copy
git blame file6 | tail -n 2
git diff HEAD~3 --shortstat
git archive HEAD | tar -t
git grep -c 555
