// Appends the entries of a file to LMDB, in equal batches with a synced commit each: what LMDB
// itself takes for the bytes that log-bench appends.
//
//   cc -O2 -o lmdb_append lmdb_append.c -llmdb
//   ./lmdb_append FILE FOLDER [indexes|single]
//
// FILE is what `log-bench append --keep FILE` wrote: entries, each behind its length in four bytes,
// little-endian. With `indexes` it also writes the rows of the indexes of versions and of commands;
// with `single` it appends one entry a commit, and no larger batches after that.
#include <errno.h>
#include <lmdb.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static void check(int code, const char *what) {
  if (code) {
    fprintf(stderr, "%s: %s\n", what, mdb_strerror(code));
    exit(1);
  }
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec / 1e9;
}

static int ascending(const void *left, const void *right) {
  double a = *(const double *)left, b = *(const double *)right;
  return (a > b) - (a < b);
}

// Where an entry has its command id; see FORMAT.md.
enum { command_offset = 8 + 8 + 32 + 8 + 8 + 32 };

int main(int count, char **arguments) {
  if (count < 3) {
    fprintf(stderr, "usage: lmdb_append FILE FOLDER [indexes|single]\n");
    return 1;
  }
  int with_indexes = count > 3 && !strcmp(arguments[3], "indexes");
  int last = count > 3 && !strcmp(arguments[3], "single") ? 1 : 3;
  FILE *file = fopen(arguments[1], "rb");
  if (!file) {
    perror(arguments[1]);
    return 1;
  }
  fseek(file, 0, SEEK_END);
  long size = ftell(file);
  rewind(file);
  unsigned char *bytes = malloc(size);
  if (!bytes || fread(bytes, 1, size, file) != (size_t)size) return 1;
  fclose(file);

  static const struct { int batch, commits; } rounds[] = {{1, 3000}, {100, 1500}, {1000, 300}};
  unsigned char *next = bytes;
  for (int round = 0; round < last; round++) {
    char folder[4096];
    snprintf(folder, sizeof folder, "%s/c-append-%d", arguments[2], rounds[round].batch);
    mkdir(arguments[2], 0755);
    if (mkdir(folder, 0755)) {
      perror(folder);
      return 1;
    }
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi entries, versions, commands;
    check(mdb_env_create(&env), "create");
    check(mdb_env_set_mapsize(env, 1UL << 30), "map size");
    check(mdb_env_set_maxdbs(env, 16), "tables");
    check(mdb_env_open(env, folder, MDB_NOTLS, 0644), "open");
    check(mdb_txn_begin(env, NULL, 0, &txn), "begin");
    check(mdb_dbi_open(txn, "entries", MDB_CREATE, &entries), "table");
    check(mdb_dbi_open(txn, "versions", MDB_CREATE, &versions), "table");
    check(mdb_dbi_open(txn, "commands", MDB_CREATE, &commands), "table");
    check(mdb_txn_commit(txn), "commit");

    int batch = rounds[round].batch, commits = rounds[round].commits;
    double *times = malloc(commits * sizeof *times), start = now();
    uint64_t position = 0;
    for (int commit = 0; commit < commits; commit++) {
      double before = now();
      check(mdb_txn_begin(env, NULL, 0, &txn), "begin");
      for (int record = 0; record < batch; record++) {
        uint32_t length;
        memcpy(&length, next, 4);
        position++;
        uint64_t key_bytes = __builtin_bswap64(position);
        MDB_val key = {8, &key_bytes}, value = {length, next + 4};
        check(mdb_put(txn, entries, &key, &value, MDB_APPEND), "put");
        if (with_indexes) {
          MDB_val where = {8, &position}, command = {16, next + 4 + command_offset};
          unsigned char row[40] = {0};
          memcpy(row, &position, 8);
          MDB_val row_value = {8, row};
          check(mdb_put(txn, versions, &key, &where, MDB_APPEND), "put");
          check(mdb_put(txn, commands, &command, &row_value, 0), "put");
        }
        next += 4 + length;
      }
      check(mdb_txn_commit(txn), "commit");
      times[commit] = now() - before;
    }
    double seconds = now() - start;
    qsort(times, commits, sizeof *times, ascending);
    printf(
        "{\"bench\": \"c.lmdb%s\", \"batch\": %d, \"commits\": %d, \"seconds\": %.3f, "
        "\"records_per_second\": %.0f, \"p50_us\": %.1f, \"p99_us\": %.1f}\n",
        with_indexes ? ".indexes" : "", batch, commits, seconds, batch * commits / seconds,
        times[commits / 2] * 1e6, times[commits * 99 / 100] * 1e6);
    free(times);
    mdb_env_close(env);
  }
  free(bytes);
  return 0;
}
