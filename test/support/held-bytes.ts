import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

const MOST_COLLECTIONS = 20
/** zlib lets go of a failed stream in the next tick only, and V8 frees buffers on other threads after a collection. */
const PAUSE_MS = 5

setFlagsFromString('--expose-gc')
export const collectGarbage = runInNewContext('gc') as () => void

/** Bytes of the heap and of buffers that are still held once garbage was collected. Collects until their number stops falling. */
export async function heldBytes(): Promise<number> {
  let least = Number.POSITIVE_INFINITY
  let bytes = await collect()
  for (let collections = 1; collections < MOST_COLLECTIONS && bytes < least; collections++) {
    least = bytes
    bytes = await collect()
  }
  return Math.min(least, bytes)
}

async function collect(): Promise<number> {
  await new Promise(resolve => setTimeout(resolve, PAUSE_MS))
  collectGarbage()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
