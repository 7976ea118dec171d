/* Fuzz target: any bytes as lines of every task's file. A line gives one whole item, nothing, or an
 * error; what is done to texts stays inside. */
#include <stdint.h>
#include <string.h>

#include "infer/task_items.h"
#include "infer/task_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_item(const GwTask *task, const GwTaskItem *item) {
  GW_ASSERT(item->choice_count >= 1 && item->answer < item->choice_count);
  GW_ASSERT(item->answer >= 0 || (item->answer == -1 && task->labels));
  for (int32_t i = 0; i < item->choice_count; i++) {
    const GwTaskChoice *choice = &item->choices[i];
    GW_ASSERT(!*choice->context || gw_task_trimmed(choice->context) > 0);
    GW_ASSERT(choice->continuation[0] == ' ' && choice->continuation[1]);
    GW_ASSERT(choice->characters >= 1);
  }
}

static void check_lines(const GwTask *task, const char *text, size_t size) {
  GwTaskItems items = {0};
  uint64_t number = 1;
  for (size_t begin = 0, length; begin < size; begin += length + 1, number++) {
    const char *newline = memchr(text + begin, '\n', size - begin);
    length = newline ? (size_t)(newline - text) - begin : size - begin;
    size_t before = items.count;
    GwStatus status = gw_task_items_add(task, "fuzz", number, text + begin, length, &items);
    GW_ASSERT(items.count == before + (status == GW_OK && items.count > before));
    if (items.count > before) check_item(task, &items.items[before]);
  }
  gw_task_items_deinit(&items);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  for (size_t i = 0; gw_task_at(i); i++) check_lines(gw_task_at(i), (const char *)data, size);
  check_lines(gw_task_own(), (const char *)data, size);
  return 0;
}
