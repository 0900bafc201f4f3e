# A tree of 400 files packed, compressed by two threads, unpacked and compared; the archive's hash is fixed.
mkdir tree
for d in a b c d; do
    mkdir "tree/$d"
    for n in $(seq 100); do echo "$d $n" >"tree/$d/$n"; done
done
ln -s ../a/1 tree/b/link; ln tree/c/5 tree/c/hard
find tree -exec touch -h -d '2020-01-01T00:00:00Z' {} +
chmod -R u=rwX,go=rX tree
tar --sort=name --owner=0 --group=0 --numeric-owner -cf tree.tar tree
sha256sum tree.tar
xz -T2 -k -9 tree.tar && xz -dc tree.tar.xz | cmp - tree.tar
tar --sort=name --owner=0 --group=0 --numeric-owner -cJf again.tar.xz tree && xz -t again.tar.xz
mkdir out && tar -xJf again.tar.xz -C out
diff -r tree out/tree && echo same
find out -type f -size -1k -o -name '*7' -newermt 2019-01-01 -printf '%P %s %m %n\n' | sort | tail -n 3
find out -type l -printf '%p -> %l\n'
find out -name '1*' -type f -print0 | xargs -0 -n 10 -P 2 cat | sort | sha256sum
find out -type f -links 2 | sort
find out -delete && [ ! -e out ]
