import type { Gateway } from './servers.js'

/**
 * The values of a counter of a gateway, as `/metrics` prints it, by the values of a label.
 *
 * @param counter for example `castellan_kafka_dispatcher_calls_total`
 */
export async function countsOf(
  { managementPort }: Gateway,
  counter: string,
  label: string
): Promise<ReadonlyMap<string, number>> {
  const response = await fetch(`http://127.0.0.1:${managementPort}/metrics`)
  const lines = new RegExp(`^${counter}\\{.*${label}="([^"]*)".*\\} (\\S+)$`, 'gm')
  const counts = new Map<string, number>()
  for (const [, name = '', count] of (await response.text()).matchAll(lines))
    counts.set(name, (counts.get(name) ?? 0) + Number(count))
  return counts
}
