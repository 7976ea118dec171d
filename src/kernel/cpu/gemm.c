/* Blocking and threads of the matrix product.
 *
 * C is cut into rectangles, each an independent task: over blocks of k, it packs a block of B
 * (which then stays in L2), and for each block of rows packs A (each panel stays in L1) and runs
 * the tiles. Every task packs for itself; rectangles are large enough for that to cost little. */
#include "kernel/cpu/gemm_parts.h"

enum {
  PANELS_B = GW_DEPTH_BLOCK * GW_COLUMN_BLOCK, /* floats */
  /* Rows of A are packed one panel at a time, which stays in L1; columns of A several, so that
   * reading along them uses whole cache lines. */
  ROWS_PACKED = GW_TILE_ROWS,
  ROWS_PACKED_BY_DEPTH = 4 * GW_TILE_ROWS,
  PANELS_A = ROWS_PACKED_BY_DEPTH / GW_TILE_ROWS * GW_A_PANEL,
  BLOCK_C = 256 * GW_COLUMN_BLOCK, /* floats of C that scratch holds where it is not stored */
  TASKS_PER_THREAD = 4,
  ROWS_MIN = 96, /* a task's rectangle is not cut below these */
  COLUMNS_MIN = 128,
  SERIAL_WORK = 1 << 18 /* multiply-adds that are not worth waking the threads */
};
_Static_assert((PANELS_A + PANELS_B + BLOCK_C) * 4 <= GW_GEMM_SCRATCH,
               "the panels fit in the scratch");

typedef struct {
  const GwGemm *gemm;
  char *scratch;
  int64_t rows, columns, depth; /* of a task's rectangle, and of a block of k */
  int64_t row_tasks;
} Plan;

static GwMatrix part(GwMatrix m, int64_t i, int64_t j) {
  return (GwMatrix){m.at + i * m.row + j * m.column, m.row, m.column};
}

/* One block of rows times the packed block of B. `whole` has the block's size and place in C. */
static void run_tiles(const GwTile *whole, bool by_rows) {
  for (int64_t i = 0; i < whole->rows; i += GW_TILE_ROWS)
    for (int64_t j = 0; j < whole->columns; j += GW_TILE_COLUMNS) {
      GwTile tile = *whole;
      tile.a += i / GW_TILE_ROWS * GW_A_PANEL;
      tile.b += j * tile.depth;
      tile.c += i * tile.c_row + j;
      bool last = j + GW_TILE_COLUMNS >= whole->columns;
      const float *next =
          last ? whole->c + (i + GW_TILE_ROWS) * tile.c_row : tile.c + GW_TILE_COLUMNS;
      tile.prefetch_c = tile.accumulate ? next : tile.c;
      tile.rows = gw_min_i64(whole->rows - i, GW_TILE_ROWS);
      tile.columns = gw_min_i64(whole->columns - j, GW_TILE_COLUMNS);
      if (tile.bias) tile.bias += j;
      if (by_rows)
        GW_KERNEL(gemm_tile_by_rows)(&tile);
      else
        GW_KERNEL(gemm_tile_by_depth)(&tile);
    }
}

static void run_task(void *context, int64_t task, int thread) {
  const Plan *plan = context;
  const GwGemm *gemm = plan->gemm;
  float *panels_b = (float *)(void *)(plan->scratch + (size_t)thread * GW_GEMM_SCRATCH);
  float *panels_a = panels_b + PANELS_B, *block_c = panels_a + PANELS_A;
  int64_t first = task % plan->row_tasks * plan->rows,
          column = task / plan->row_tasks * plan->columns;
  int64_t last = gw_min_i64(first + plan->rows, gemm->rows);
  bool by_rows = gemm->a.column == 1;
  int64_t packed = by_rows ? ROWS_PACKED : ROWS_PACKED_BY_DEPTH;
  GwTile block = {.a = panels_a, .b = panels_b, .c_row = gemm->c ? gemm->c_row : plan->columns};
  block.columns = gw_min_i64(plan->columns, gemm->columns - column);
  for (int64_t k = 0; k < gemm->depth; k += plan->depth) {
    block.depth = gw_min_i64(plan->depth, gemm->depth - k);
    block.accumulate = gemm->accumulate || k > 0;
    bool done = k + block.depth == gemm->depth;
    block.bias = gemm->bias && done ? gemm->bias + column : NULL;
    GW_KERNEL(gemm_pack_b)(part(gemm->b, k, column), block.depth, block.columns, panels_b);
    for (int64_t i = first; i < last; i += packed) {
      block.rows = gw_min_i64(packed, last - i);
      block.c = gemm->c ? gemm->c + i * gemm->c_row + column : block_c + (i - first) * block.c_row;
      GW_KERNEL(gemm_pack_a)(part(gemm->a, i, k), block.rows, block.depth, panels_a);
      run_tiles(&block, by_rows);
      if (done && gemm->finish)
        gemm->finish(gemm->context, block.c, block.c_row, i, block.rows, column, block.columns,
                     thread);
    }
  }
}

/* n cut into equal parts of at most `largest`, in whole multiples of `unit`. */
static int64_t equal_part(int64_t n, int64_t largest, int64_t unit) {
  int64_t parts = gw_ceil_div(n, largest);
  return gw_ceil_div(gw_ceil_div(n, parts), unit) * unit;
}

/* Halves the rectangles until there are enough of them, or they are small. */
static void cut(Plan *plan, const GwGemm *gemm, int64_t tasks) {
  int64_t row_parts = 1, column_parts = gw_ceil_div(gemm->columns, GW_COLUMN_BLOCK);
  while (row_parts * column_parts < tasks) {
    int64_t rows = gemm->rows / row_parts, columns = gemm->columns / column_parts;
    bool can_rows = rows >= 2 * ROWS_MIN, can_columns = columns >= 2 * COLUMNS_MIN;
    if (can_rows && (rows >= columns / 2 || !can_columns))
      row_parts *= 2;
    else if (can_columns)
      column_parts *= 2;
    else
      break;
  }
  plan->columns =
      equal_part(gemm->columns, gw_ceil_div(gemm->columns, column_parts), GW_TILE_COLUMNS);
  int64_t rows = gw_ceil_div(gemm->rows, row_parts);
  if (!gemm->c) rows = gw_min_i64(rows, BLOCK_C / plan->columns - GW_TILE_ROWS);
  plan->rows = equal_part(gemm->rows, rows, GW_TILE_ROWS);
}

void GW_KERNEL(gemm)(GwPool *pool, const GwGemm *gemm, char *scratch) {
  if (gemm->rows == 0 || gemm->columns == 0) return;
  GW_ASSERT(gemm->depth >= 1);
  GW_ASSERT(gemm->operands == GW_OPERANDS_F32);
  GW_ASSERT(gemm->c || (gemm->finish && !gemm->accumulate));
  GW_ASSERT(gemm->a.row == 1 || gemm->a.column == 1);
  GW_ASSERT(gemm->b.row == 1 || gemm->b.column == 1);
  int threads = gw_pool_threads(pool);
  bool serial = threads == 1 || gemm->rows * gemm->columns * gemm->depth < SERIAL_WORK;
  Plan plan = {.gemm = gemm, .scratch = scratch};
  cut(&plan, gemm, serial ? 1 : (int64_t)threads * TASKS_PER_THREAD);
  plan.depth = equal_part(gemm->depth, GW_DEPTH_BLOCK, 1);
  plan.row_tasks = gw_ceil_div(gemm->rows, plan.rows);
  int64_t tasks = plan.row_tasks * gw_ceil_div(gemm->columns, plan.columns);
  gw_pool_run(serial ? NULL : pool, tasks, run_task, &plan);
}
