import { type Figures, measure, TOPIC, works } from './receipts.js'
import { startBroker } from './tools/broker.js'
import { Child } from './tools/child.js'
import type { BenchOptions } from './tools/options.js'
import { median, type Row } from './tools/report.js'
import { startGateway } from './tools/servers.js'

const PARTITIONS = 4
/** The share of requests that an SDK records, in per cent; `none`: there is no SDK. */
const gatewaysToCompare = ['none', '0', '1', '100'] as const
type Which = (typeof gatewaysToCompare)[number]

/** `push-async` with an SDK of OpenTelemetry, by the share of requests that it records, against none, window by window in turn. */
export async function tracing({ seconds, rounds }: BenchOptions): Promise<readonly Row[]> {
  const work = works.find(({ name }) => name === 'push-async')!
  const broker = await startBroker({ topics: [{ topic: TOPIC, partitions: PARTITIONS }] })
  const gateways = await Promise.all(
    gatewaysToCompare.map(async which => [which, await startGateway(broker.bootstrap, flagsOf(which))] as const)
  )
  const { child: load } = await Child.start('./load.ts')
  const measured = new Map<Which, Figures[]>(gatewaysToCompare.map(which => [which, []]))
  try {
    // The first round warms up the compiler.
    for (let round = 0; round <= rounds; round++) {
      for (const [which, gateway] of round % 2 === 0 ? gateways : gateways.toReversed()) {
        const figures = await measure(work, false, gateway, broker, load, seconds)
        if (round > 0) measured.get(which)!.push(figures)
      }
    }
  } finally {
    await Promise.all([load.stop(), ...gateways.map(([, gateway]) => gateway.stop())])
    await broker.stop()
  }
  const cpuUsOf = (which: Which): number => median(measured.get(which)!.map(({ cpuUs }) => cpuUs))
  return gatewaysToCompare.map(which => {
    const value = median(measured.get(which)!.map(({ perSecond }) => perSecond))
    const against = which === 'none' ? {} : { ratio: cpuUsOf('none') / cpuUsOf(which), against: 'none' }
    return {
      work: `push-async, ${nameOf(which)}`,
      value,
      unit: 'requests/s',
      cpuUsPerRequest: cpuUsOf(which),
      ...against
    }
  })
}

const nameOf = (which: Which): string => (which === 'none' ? 'no SDK' : `SDK, ${which} % recorded`)

function flagsOf(which: Which): string[] {
  if (which === 'none') return []
  const sdk = new URL('./tools/tracing-sdk.mjs', import.meta.url)
  sdk.searchParams.set('percent', which)
  return ['--import', sdk.href]
}
