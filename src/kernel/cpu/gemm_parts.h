/* The parts of the matrix product: block sizes, packed layouts, packing and the register tile.
 *
 * A tile is up to GW_TILE_ROWS x GW_TILE_COLUMNS elements of C held in registers. It runs over
 * `steps`; a step is one k, or a pair of them where the processor multiplies bf16 in pairs. Its
 * operands are panels of elements of 32 bits, padded with zeros to whole tiles:
 *   B panel             element (step,j) at step*GW_TILE_COLUMNS + j
 *   A panel, by rows    (A's columns are contiguous) element (i,step) at i*GW_A_ROW + step
 *            by depth   (A's rows are contiguous)    element (i,step) at step*GW_A_DEPTH + i
 * so that packing A only copies. Along k only half a pair is padded, by +0 in A and -0 in B, whose
 * product leaves every sum as it is; two zeros of one sign would turn -0 into +0. */
#ifndef GW_GEMM_PARTS_H
#define GW_GEMM_PARTS_H

#include "kernel/cpu/gemm.h"
#include "kernel/cpu/gemm_kind.h"

enum {
  GW_TILE_COLUMNS = GW_TILE_VECTORS * GW_VL,
  GW_STEP_BLOCK = 384,   /* steps per block: a panel of A stays in L1 or near it */
  GW_COLUMN_BLOCK = 384, /* columns per block of so many steps; more where it has fewer */

  GW_A_ROW = GW_STEP_BLOCK + 16, /* not a multiple of 1 KiB: rows fall in different cache sets */
  GW_A_DEPTH = GW_VL,
  GW_A_PANEL = GW_A_ROW * GW_A_DEPTH, /* floats; holds either layout */
};

_Static_assert((int)GW_TILE_ROWS <= (int)GW_A_DEPTH, "a vector holds a tile's rows");

/* Rows cut into panels of almost equal heights: no tile is nearly empty. */
typedef struct {
  int64_t panels, height, taller; /* the first `taller` panels have one row more than `height` */
} GwPanels;

static inline GwPanels gw__panels(int64_t rows) {
  int64_t panels = gw_ceil_div(rows, GW_TILE_ROWS);
  return (GwPanels){panels, rows / panels, rows % panels};
}
/* The first row of a panel; of panel `panels`, the end. */
static inline int64_t gw__panel_first(GwPanels p, int64_t panel) {
  return panel * p.height + gw_min_i64(panel, p.taller);
}

/* Floats from one panel of B to the next: its steps and one more, so that panels of 32 steps or a
 * multiple fall in different cache sets. */
static inline int64_t gw__panel_b(int64_t steps) { return (steps + 1) * GW_TILE_COLUMNS; }

/* Packs panels [first, last) of `rows` cut so, GW_A_PANEL floats each. `a` begins at row 0. */
void GW_KERNEL(gemm_pack_a)(GwTileKind kind, GwMatrix a, GwPanels rows, int64_t first, int64_t last,
                            int64_t depth, float *panels);
/* Packs depth x columns elements at `b` into panels, gw__panel_b floats apart. */
void GW_KERNEL(gemm_pack_b)(GwTileKind kind, GwMatrix b, int64_t depth, int64_t columns,
                            float *panels);

typedef struct {
  const float *a, *b;    /* one panel each */
  int64_t steps, b_step; /* b_step: floats from one step of B to the next */
  float *c;
  const float *prefetch_c; /* the tile to prefetch: this one, or the next if it will be read */
  int64_t c_row;
  int64_t rows, columns; /* of C that exist */
  bool by_rows;          /* layout of the A panel */
  bool accumulate;       /* start from C, not from 0 */
  const float *bias;     /* added at the end; NULL for none */
  /* What is needed later is brought into L2: for every GW_AHEAD_STEPS steps GW_AHEAD_BYTES of a
   * row, beginning at `ahead`. */
  const char *ahead;
  int64_t ahead_row; /* bytes */
} GwTile;

enum { GW_AHEAD_BYTES = 256, GW_AHEAD_STEPS = 16 };

void GW_KERNEL(gemm_tile)(GwTileKind kind, const GwTile *tile);

/* Arithmetic on this register stays on its side of the call: for the two sides of
 * gw_v_flush_begin and gw_v_flush_end, which change the arithmetic. */
static inline __attribute__((always_inline)) void gw__hold(gw_vf *v) {
#if defined(GW_ISA_AVX512) || defined(GW_ISA_AVX2)
  __asm__ volatile("" : "+v"(*v));
#else
  (void)v;
#endif
}

/* gemm with the kind chosen: PAIRS only where the processor has vdpbf16ps. */
void GW_KERNEL(gemm_as)(GwTileKind kind, GwPool *pool, const GwGemm *gemm, char *scratch);

#endif
