/**
 * Options of an `LRUCache` that keeps so many entries. With its own `max` it would take the memory for all of them at
 * once: some 10 MiB at start, for caches that most installations never fill.
 */
export const atMost = (entries: number): { maxSize: number; sizeCalculation: () => number } => ({
  maxSize: entries,
  sizeCalculation: () => 1,
});
