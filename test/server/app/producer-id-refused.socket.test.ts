import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import type { Status } from '../../../src/http/status/status.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import type { App } from '../../../src/server/app/app.js'
import { onBroker } from '../../support/stage.js'
import { metricOf } from '../../support/test-app.js'

const FOREVER = Number.POSITIVE_INFINITY

describe('a Kafka that gives no producer id', () => {
  const stage = onBroker()
  let app: App
  before(async () => {
    app = await stage.app()
  })

  const refuse = (errorCode: number) =>
    stage.cluster.faults.add({ api: 'InitProducerId', count: FOREVER }, { type: 'error', errorCode })
  const status = async (): Promise<Status> =>
    (await (await fetch(`${app.urls.management}/status.json`)).json()) as Status
  /** The first answer for which this holds. */
  async function statusWhere(holds: (status: Status) => boolean): Promise<Status> {
    for (;;) {
      const found = await status()
      if (holds(found)) return found
      await sleep(100)
    }
  }
  const isTold = ({ trouble }: Status): boolean => trouble.some(({ kind }) => kind === 'idRefused')
  const gauge = (): Promise<number> => metricOf(app.urls.management, 'castellan_producer_id_refused')
  it('is a trouble while records wait, a warning of /ready, and a gauge, until it gives one', async () => {
    expect(await gauge()).to.equal(0)
    const fault = refuse(errorCodes.CLUSTER_AUTHORIZATION_FAILED)
    const answer = await fetch(`${app.urls.shared}/arion/async/invoices`, { method: 'POST', body: 'x' })
    expect(answer.status).to.equal(202)
    const { trouble, topics } = await statusWhere(isTold)
    expect(trouble.map(({ kind, severity, subject }) => [kind, severity, subject])).to.deep.equal([
      ['idRefused', 'bad', 'cluster default']
    ])
    expect(topics.rows.map(({ topic, state }) => [topic, state])).to.deep.equal([['invoices', 'refused']])
    expect(await gauge()).to.equal(1)
    const ready = await fetch(`${app.urls.management}/ready`)
    const { warnings } = (await ready.json()) as { warnings: string[] }
    expect([ready.status, warnings]).to.deep.equal([
      200,
      [
        'cluster default gives no producer id, so no record can be written: CLUSTER_AUTHORIZATION_FAILED (31): not authorized for the cluster'
      ]
    ])
    expect((await fetch(`${app.urls.management}/ready/kafka`)).status).to.equal(200)
    fault.remove()
    const { trouble: later } = await statusWhere(now => now.topics.total === 0)
    expect(later).to.deep.equal([])
    expect(await gauge()).to.equal(0)
  })

  for (const [code, error, why] of [
    [
      errorCodes.CLUSTER_AUTHORIZATION_FAILED,
      'ClusterAuthorizationFailed (Broker: Cluster authorization failed)',
      'CLUSTER_AUTHORIZATION_FAILED (31): not authorized for the cluster'
    ],
    [
      errorCodes.UNSUPPORTED_VERSION,
      'UnsupportedFeature (Local: Required feature not supported by broker)',
      'UNSUPPORTED_VERSION (35): the broker does not speak this version of the request'
    ]
  ] as const)
    it(`is told to clients of kprf by librdkafka's name for ${code}, with the reason`, async () => {
      const { urls } = await stage.app()
      refuse(code)
      const answer = await fetch(`${urls.shared}/kprf/push`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ records: [{ topic: 'orders', key: 'k', data: 'x' }], wait_for_send: true })
      })
      expect(await answer.text()).to.include(`Message production error: ${error}`)
      expect(answer.headers.get('x-castellan-warning')).to.include(why)
    })
})
