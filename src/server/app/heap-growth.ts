import { setFlagsFromString } from 'node:v8'

/**
 * Makes V8 collect garbage when the heap has doubled, and not only when it has quadrupled. Requests and records that
 * wait for Kafka or for a client are moved to V8's old generation. Without this limit, garbage there takes most of the
 * memory of the process: 100 MB while 256 clients write or read, and more while a backlog for 10,000 topics is
 * delivered. The limit costs some CPU time when many objects live long, otherwise no measurable time.
 */
export const boundHeapGrowth = (): void => setFlagsFromString('--heap-growing-percent=100')

/**
 * Keeps the memory for new objects at 2 MB while a program loads. It grows with the number of objects that live on,
 * and nearly all that a start makes do: V8 would take 32 MB, and gives them back only in a pause of many seconds.
 */
export const holdYoungGeneration = (): void => setFlagsFromString('--semi-space-growth-factor=1')

/** Lets it grow again as V8 does by default, once there is work. */
export const letYoungGenerationGrow = (): void => setFlagsFromString('--semi-space-growth-factor=2')
