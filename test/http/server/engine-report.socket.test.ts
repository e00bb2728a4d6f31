import { expect } from 'chai'
import { createPrometheusMetrics } from '../../../src/core/metrics/prometheus.js'
import { EngineReport } from '../../../src/http/server/engine-report.js'
import { HttpMetrics } from '../../../src/http/server/request-log.js'
import { OWN } from '../../support/engines.js'
import { type LogLine, recordingLogger, sendRaw, startHttp } from './fixtures.js'

const LEFT = 'castellan_http_connections_left_to_node_total'
const NOT_SHARED = 'castellan_http_connections_not_shared_total'

describe('connections that the engine does not serve as a whole', () => {
  it('are counted and logged, each with what was unusual', async () => {
    const { http, lines, metricsText } = await startHttp({ http: { engine: OWN } })
    const ask = (line: string, ...headers: readonly string[]): Promise<string> =>
      sendRaw(http.urls.shared, [line, 'host: 127.0.0.1', 'connection: close', ...headers, '', ''].join('\r\n'))
    const answers = [
      await ask('GET /loud/topics/a HTTP/1.1'),
      await ask('GET /loud/topics/a HTTP/1.1', 'expect: 100-continue'),
      await ask('GET /loud/topics/a HTTP/1.0'),
      await sendRaw(
        http.urls.shared,
        'GET /loud/topics/a HTTP/1.1\r\nhost: 127.0.0.1\r\na_b: c\r\nconnection: close\r\n\r\n'
      )
    ]
    for (const answer of answers) expect(answer).to.contain(' 200 OK')
    const text = await metricsText()
    for (const [reason, count] of [
      ['framing', 2],
      ['requestLine', 1],
      ['header', 1]
    ])
      expect(text).to.contain(`${LEFT}{reason="${reason}"} ${count}\n`)
    expect(text).to.contain(`${NOT_SHARED} 0\n`)
    const logged = lines.filter(({ message }) => message.startsWith('node:http takes a connection over'))
    expect(logged.map(({ level, fields }) => [level, fields])).to.deep.equal(
      ['framing', 'framing', 'requestLine', 'header'].map(reason => ['debug', { reason, address: '127.0.0.1' }])
    )
    await http.close()
  })

  it('are counted where this Node has no handle for them', async () => {
    const metrics = createPrometheusMetrics()
    const lines: LogLine[] = []
    const report = new EngineReport(new HttpMetrics(metrics), recordingLogger(lines))
    report.notShared()
    report.notShared()
    expect(await metrics.registry.metrics()).to.contain(`${NOT_SHARED} 2\n`)
    expect(lines.map(({ level }) => level)).to.deep.equal(['debug', 'debug'])
  })
})
