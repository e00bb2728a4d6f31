import type { ChildProcess } from 'node:child_process'
import type { FromBroker } from './protocol.js'

export interface Sample {
  readonly atMs: number
  readonly rssMb: number
}

/** Least squares over the samples after the first quarter. */
export function slopePerMinute(samples: readonly Sample[]): number {
  const warm = samples.slice(Math.floor(samples.length / 4))
  const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length
  const [meanX, meanY] = [mean(warm.map(sample => sample.atMs)), mean(warm.map(sample => sample.rssMb))]
  let covariance = 0
  let variance = 0
  for (const sample of warm) {
    covariance += (sample.atMs - meanX) * (sample.rssMb - meanY)
    variance += (sample.atMs - meanX) ** 2
  }
  return variance === 0 ? 0 : (covariance / variance) * 60_000
}

export function messageOf<Type extends FromBroker['type']>(
  broker: ChildProcess,
  type: Type
): Promise<Extract<FromBroker, { type: Type }>> {
  return new Promise(resolve => {
    const listen = (message: FromBroker): void => {
      if (message.type !== type) return
      broker.off('message', listen)
      resolve(message as Extract<FromBroker, { type: Type }>)
    }
    broker.on('message', listen)
  })
}
