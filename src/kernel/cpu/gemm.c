/* Blocking and threads of the matrix product.
 *
 * C is cut into rectangles, each an independent task. A task goes over blocks of columns and of k:
 * it packs a block of B (which then stays in L2), and for each panel of rows packs A and runs the
 * tiles. Every task packs for itself, and C is cut so that packing and waiting cost least. While
 * tiles run they also bring nearer what is needed next. A kept B is packed once, as a whole. */
#include "kernel/cpu/gemm_check.h"
#include "kernel/cpu/gemm_parts.h"
#include "kernel/cpu/gemm_rows.h"

enum {
  PANELS_B = (GW_STEP_BLOCK + 1) * GW_COLUMN_BLOCK, /* floats; they stay in L2 */
  /* Rows of A are packed one panel at a time; columns of A several, so that reading along them uses
   * whole cache lines. */
  PANELS_PACKED_BY_DEPTH = 2,
  PANELS_A = PANELS_PACKED_BY_DEPTH * GW_A_PANEL,
  COLUMNS_MOST = 1024,              /* of a block: a panel of finished rows stays in L2 */
  PANELS_C = 512 * GW_COLUMN_BLOCK, /* a task's C, where it is in scratch */
  SERIAL_WORK = 1 << 18             /* multiply-adds that are not worth waking the threads */
};
_Static_assert((PANELS_A + PANELS_B + PANELS_C) * 4 <= GW_GEMM_SCRATCH, "all fits in the scratch");

typedef struct {
  const GwGemm *gemm;
  GwTileKind kind;
  char *scratch;
  int64_t rows, columns; /* of a task's rectangle */
  int64_t row_tasks;
  int64_t block_columns, block_depth;
  int64_t columns_most; /* of a block: its panels of B fill their place */
} Plan;

/* A part of an operand that is going to be packed, and how far it has been brought nearer. */
typedef struct {
  const char *at;
  int64_t rows, row_bytes, stride; /* stride in bytes */
  int64_t row, byte;
} Ahead;

/* One task on its way over the blocks. */
typedef struct {
  const Plan *plan;
  int thread;
  float *panels_a, *panels_b, *block_c;
  int64_t first_row, columns; /* columns: the end of the task's */
  GwPanels rows;
  int64_t column, k, depth; /* the block */
  GwTile tile;              /* what all tiles of the block have in common */
  int64_t panel_b;          /* floats between panels of B */
  Ahead ahead_a, ahead_b, beside;
} Task;

static GwMatrix part(GwMatrix m, int64_t i, int64_t j) {
  return (GwMatrix){m.at + i * m.row + j * m.column, m.row, m.column};
}

static Ahead ahead_of(GwMatrix m, int64_t rows, int64_t columns) {
  bool by_rows = m.column == 1;
  Ahead ahead = {.at = (const char *)m.at, .rows = by_rows ? rows : columns};
  ahead.row_bytes = (by_rows ? columns : rows) * (int64_t)sizeof(float);
  ahead.stride = (by_rows ? m.row : m.column) * (int64_t)sizeof(float);
  return ahead;
}

/* The tile takes the next piece; false when all is taken. */
static bool take(Ahead *ahead, GwTile *tile) {
  if (ahead->byte >= ahead->row_bytes) return false;
  tile->ahead = ahead->at + ahead->row * ahead->stride + ahead->byte;
  tile->ahead_row = ahead->stride;
  ahead->row += gw_max_i64(tile->steps / GW_AHEAD_STEPS, 1);
  if (ahead->row >= ahead->rows) {
    ahead->row = 0;
    ahead->byte += GW_AHEAD_BYTES;
  }
  return true;
}

static void run_row_of_tiles(Task *task, const GwTile *first) {
  for (int64_t j = 0; j < first->columns; j += GW_TILE_COLUMNS) {
    GwTile tile = *first;
    tile.b += j / GW_TILE_COLUMNS * task->panel_b;
    tile.c += j;
    bool last = j + GW_TILE_COLUMNS >= first->columns;
    const float *next = last ? first->c + tile.rows * tile.c_row : tile.c + GW_TILE_COLUMNS;
    tile.prefetch_c = tile.accumulate ? next : tile.c;
    tile.columns = gw_min_i64(first->columns - j, GW_TILE_COLUMNS);
    if (tile.bias) tile.bias += j;
    if (!take(&task->beside, &tile) && !take(&task->ahead_a, &tile) &&
        !take(&task->ahead_b, &tile)) {
      tile.ahead = (const char *)tile.a;
      tile.ahead_row = 0;
    }
    GW_KERNEL(gemm_tile)(task->plan->kind, &tile);
  }
}

/* What `finish` will read beside rows [first, last) of the task's block. */
static Ahead beside(const Task *task, int64_t first, int64_t last) {
  const GwBeside *m = &task->plan->gemm->beside;
  const char *at = (const char *)m->at + (task->first_row + first) * m->row_bytes +
                   task->column * m->element_bytes;
  return (Ahead){.at = at,
                 .rows = last - first,
                 .row_bytes = task->tile.columns * m->element_bytes,
                 .stride = m->row_bytes};
}

/* A finished block of `rows` rows from `row` on. */
static void hand_on(const Task *task, float *c, int64_t row, int64_t rows) {
  const GwGemm *gemm = task->plan->gemm;
  int64_t c_row = task->tile.c_row, columns = task->tile.columns;
  if (gemm->abft) GW_KERNEL(gemm_check_block)(gemm, c, c_row, row, rows, columns);
  if (gemm->finish)
    gemm->finish(gemm->context, c, c_row, row, rows, task->column, columns, task->thread);
}

/* Panels [first, last): they are packed, multiplied, and handed on where they are finished. */
static void run_panels(Task *task, int64_t first, int64_t last, bool finished) {
  const GwGemm *gemm = task->plan->gemm;
  GwMatrix a = part(gemm->a, task->first_row, task->k);
  GW_KERNEL(gemm_pack_a)(task->plan->kind, a, task->rows, first, last, task->depth, task->panels_a);
  int64_t start = gw__panel_first(task->rows, first), end = gw__panel_first(task->rows, last);
  int64_t after = gw__panel_first(task->rows, gw_min_i64(last + last - first, task->rows.panels));
  task->ahead_a = ahead_of(part(a, end, 0), after - end, task->depth);
  task->beside = finished && gemm->beside.at ? beside(task, start, end) : (Ahead){0};
  float *c = gemm->c ? gemm->c + (task->first_row + start) * gemm->c_row + task->column
                     : task->block_c + start * task->tile.c_row;
  for (int64_t p = first; p < last; p++) {
    GwTile tile = task->tile;
    int64_t row = gw__panel_first(task->rows, p);
    tile.a = task->panels_a + (p - first) * GW_A_PANEL;
    tile.c = c + (row - start) * tile.c_row;
    tile.rows = gw__panel_first(task->rows, p + 1) - row;
    run_row_of_tiles(task, &tile);
  }
  if (finished) hand_on(task, c, task->first_row + start, end - start);
}

static int64_t steps_of(GwTileKind kind, int64_t depth) {
  return kind == GW_TILE_PAIRS ? gw_ceil_div(depth, 2) : depth;
}

/* Where a kept B has the panel of `column` in the block of k that begins at `k`: all panels of one
 * block of k stand together. */
static float *kept_panel(const Plan *plan, int64_t k, int64_t depth, int64_t column) {
  int64_t panels = gw_ceil_div(plan->gemm->columns, GW_TILE_COLUMNS);
  int64_t full = panels * gw__panel_b(steps_of(plan->kind, plan->block_depth));
  int64_t panel = gw__panel_b(steps_of(plan->kind, depth));
  return plan->gemm->kept->at + k / plan->block_depth * full + column / GW_TILE_COLUMNS * panel;
}

/* A few panels of a kept B, over all of k. */
static void keep_panels(void *context, int64_t number, int thread) {
  (void)thread;
  const Plan *plan = context;
  const GwGemm *gemm = plan->gemm;
  int64_t column = number * GW_COLUMN_BLOCK;
  int64_t columns = gw_min_i64(gemm->columns - column, GW_COLUMN_BLOCK);
  for (int64_t k = 0; k < gemm->depth; k += plan->block_depth) {
    int64_t depth = gw_min_i64(plan->block_depth, gemm->depth - k);
    GW_KERNEL(gemm_pack_b)
    (plan->kind, part(gemm->b, k, column), depth, columns, kept_panel(plan, k, depth, column));
  }
}

static void keep_b(Plan *plan, GwPool *pool) {
  const GwGemm *gemm = plan->gemm;
  int64_t last = (gemm->depth - 1) / plan->block_depth * plan->block_depth;
  int64_t columns = gw_ceil_div(gemm->columns, GW_TILE_COLUMNS) * GW_TILE_COLUMNS;
  const float *end = kept_panel(plan, last, gemm->depth - last, columns);
  GW_ASSERT(end - gemm->kept->at <= gw_kept_room(gemm->depth, gemm->columns));
  gw_pool_run(pool, gw_ceil_div(gemm->columns, GW_COLUMN_BLOCK), keep_panels, plan);
  gemm->kept->current = true;
}

/* The block of B after this one: the next in k, or the next columns from k = 0. */
static Ahead block_after(const Task *task) {
  const GwGemm *gemm = task->plan->gemm;
  int64_t k = task->k + task->depth, column = task->column;
  if (k >= gemm->depth) {
    k = 0;
    column += task->tile.columns;
  }
  int64_t depth = gw_min_i64(task->plan->block_depth, gemm->depth - k);
  int64_t columns = gw_min_i64(task->plan->block_columns, task->columns - column);
  if (columns <= 0) return (Ahead){0};
  if (!gemm->kept) return ahead_of(part(gemm->b, k, column), depth, columns);
  int64_t panel = gw__panel_b(steps_of(task->plan->kind, depth)) * (int64_t)sizeof(float);
  return (Ahead){.at = (const char *)kept_panel(task->plan, k, depth, column),
                 .rows = gw_ceil_div(columns, GW_TILE_COLUMNS),
                 .row_bytes = panel,
                 .stride = panel};
}

/* The block of B is kept, or packed here, or stays where it lies: its rows are then so short that
 * the panels are close together, as the caches like it. */
static void place_b(Task *task) {
  GwTileKind kind = task->plan->kind;
  GwMatrix b = part(task->plan->gemm->b, task->k, task->column);
  GwTile *tile = &task->tile;
  bool kept = task->plan->gemm->kept, whole = tile->columns % GW_TILE_COLUMNS == 0;
  if (!kept && kind == GW_TILE_F32 && b.column == 1 && b.row <= GW_COLUMN_BLOCK && whole) {
    tile->b = b.at;
    tile->b_step = b.row;
    task->panel_b = GW_TILE_COLUMNS;
    return;
  }
  if (!kept) GW_KERNEL(gemm_pack_b)(kind, b, task->depth, tile->columns, task->panels_b);
  tile->b = kept ? kept_panel(task->plan, task->k, task->depth, task->column) : task->panels_b;
  tile->b_step = GW_TILE_COLUMNS;
  task->panel_b = gw__panel_b(tile->steps);
}

static void run_block(Task *task) {
  const Plan *plan = task->plan;
  const GwGemm *gemm = plan->gemm;
  bool finished = task->k + task->depth == gemm->depth;
  GwTile *tile = &task->tile;
  tile->columns = gw_min_i64(plan->block_columns, task->columns - task->column);
  tile->steps = steps_of(plan->kind, task->depth);
  tile->accumulate = gemm->accumulate || task->k > 0;
  tile->bias = gemm->bias && finished ? gemm->bias + task->column : NULL;
  place_b(task);
  task->ahead_b = block_after(task);
  int64_t count = tile->by_rows ? 1 : PANELS_PACKED_BY_DEPTH;
  for (int64_t p = 0; p < task->rows.panels; p += count)
    run_panels(task, p, gw_min_i64(p + count, task->rows.panels), finished);
}

static void run_task(void *context, int64_t number, int thread) {
  const Plan *plan = context;
  const GwGemm *gemm = plan->gemm;
  Task task = {.plan = plan, .thread = thread};
  task.panels_b = (float *)(void *)(plan->scratch + (size_t)thread * GW_GEMM_SCRATCH);
  task.panels_a = task.panels_b + PANELS_B;
  task.block_c = task.panels_a + PANELS_A;
  task.first_row = number % plan->row_tasks * plan->rows;
  int64_t first_column = number / plan->row_tasks * plan->columns;
  task.columns = gw_min_i64(first_column + plan->columns, gemm->columns);
  task.rows = gw__panels(gw_min_i64(plan->rows, gemm->rows - task.first_row));
  task.tile = (GwTile){.by_rows = gemm->a.column == 1};
  task.tile.c_row = gemm->c ? gemm->c_row : plan->block_columns;
  for (task.column = first_column; task.column < task.columns; task.column += plan->block_columns)
    for (task.k = 0; task.k < gemm->depth; task.k += plan->block_depth) {
      task.depth = gw_min_i64(plan->block_depth, gemm->depth - task.k);
      run_block(&task);
    }
}

/* n cut into equal parts of at most `largest`, in whole multiples of `unit`. */
static int64_t equal_part(int64_t n, int64_t largest, int64_t unit) {
  int64_t parts = gw_ceil_div(n, largest);
  return gw_ceil_div(gw_ceil_div(n, parts), unit) * unit;
}

/* Columns of a block of a task that has so many. */
static int64_t block_of(const Plan *plan, int64_t columns) {
  return equal_part(columns, plan->columns_most, GW_TILE_COLUMNS);
}

/* What one k costs a task of rows x columns: 1 for each element of C, and, as measured, about 8 to
 * pack an element of A or B. */
static double task_cost(const Plan *plan, int64_t rows, int64_t columns) {
  double blocks = (double)gw_ceil_div(columns, plan->columns_most);
  return (double)rows * (double)columns + 8 * ((double)rows * blocks + (double)columns);
}

/* Rectangles for `threads` threads: among cuts into a few times as many, the one whose threads are
 * done first. A 64th of a task is the wait for the last thread. */
static void cut(Plan *plan, const GwGemm *gemm, int64_t threads) {
  double best = 0;
  for (int64_t waves = 1; waves <= 4; waves++)
    for (int64_t column_parts = 1; column_parts <= threads * waves; column_parts++) {
      if (threads * waves % column_parts) continue;
      int64_t row_parts = threads * waves / column_parts;
      int64_t rows = gw_ceil_div(gemm->rows, row_parts);
      int64_t columns =
          equal_part(gemm->columns, gw_ceil_div(gemm->columns, column_parts), GW_TILE_COLUMNS);
      if (!gemm->c) rows = equal_part(rows, PANELS_C / block_of(plan, columns), 1);
      int64_t tasks = gw_ceil_div(gemm->rows, rows) * gw_ceil_div(gemm->columns, columns);
      double cost = task_cost(plan, rows, columns);
      double total = cost * (double)gw_ceil_div(tasks, threads) + (threads > 1 ? cost / 64 : 0);
      if (best > 0 && total >= best) continue;
      best = total;
      plan->rows = rows;
      plan->columns = columns;
    }
  plan->row_tasks = gw_ceil_div(gemm->rows, plan->rows);
}

static void multiply(GwTileKind kind, GwPool *pool, const GwGemm *gemm, char *scratch) {
  if (GW_KERNEL(gemm_is_few_rows)(gemm)) {
    GW_KERNEL(gemm_few_rows)(kind, pool, gemm, scratch);
    return;
  }
  bool serial = gemm->rows * gemm->columns * gemm->depth < SERIAL_WORK;
  Plan plan = {.gemm = gemm, .kind = kind, .scratch = scratch};
  int64_t pair = kind == GW_TILE_PAIRS ? 2 : 1;
  plan.block_depth = equal_part(gemm->depth, pair * GW_STEP_BLOCK, kind == GW_TILE_F32 ? 1 : 2);
  int64_t panels = PANELS_B / gw__panel_b(gw_ceil_div(plan.block_depth, pair));
  plan.columns_most = gw_min_i64(panels * GW_TILE_COLUMNS, COLUMNS_MOST);
  cut(&plan, gemm, serial ? 1 : gw_pool_threads(pool));
  plan.block_columns = block_of(&plan, plan.columns);
  int64_t tasks = plan.row_tasks * gw_ceil_div(gemm->columns, plan.columns);
  if (gemm->kept && !gemm->kept->current) keep_b(&plan, serial ? NULL : pool);
  gw_pool_run(serial ? NULL : pool, tasks, run_task, &plan);
}

void GW_KERNEL(gemm_as)(GwTileKind kind, GwPool *pool, const GwGemm *gemm, char *scratch) {
  if (gemm->rows == 0 || gemm->columns == 0) return;
  GW_ASSERT(gemm->depth >= 1);
  GW_ASSERT(gemm->a.row == 1 || gemm->a.column == 1);
  GW_ASSERT(gemm->b.row == 1 || gemm->b.column == 1);
  GW_ASSERT(gemm->c || (gemm->finish && !gemm->accumulate));
  if (gemm->abft) GW_KERNEL(gemm_check_begin)(gemm, pool);
  multiply(kind, pool, gemm, scratch);
  if (gemm->abft) GW_KERNEL(gemm_check_end)(gemm, pool);
}

void GW_KERNEL(gemm)(GwPool *pool, const GwGemm *gemm, char *scratch) {
  bool bf16 = gemm->operands == GW_OPERANDS_BF16;
  GW_KERNEL(gemm_as)(bf16 ? GW_KERNEL(gemm_bf16_kind)() : GW_TILE_F32, pool, gemm, scratch);
}
