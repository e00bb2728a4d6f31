import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import { silentLogger } from '../../../src/core/model.js'
import { statusByCode } from '../../../src/http/exchange/modern-answers.js'
import { type App, loadConfig, startApp } from '../../../src/index.js'
import { alertRules, metricsIn } from '../../runs/alerts/rules.js'
import { walDirectoryOf } from '../../support/wal-directory.js'

interface Dashboard {
  readonly panels: readonly {
    readonly title: string
    readonly targets: readonly { readonly expr: string; readonly legendFormat: string }[]
  }[]
}

const rules = alertRules
const dashboard = (): Dashboard => JSON.parse(readFileSync('docs/grafana-dashboard.json', 'utf8')) as Dashboard

describe('metrics to alert on', () => {
  let app: App
  let atStart: string
  let exported: Set<string>
  const scrape = async (): Promise<string> => (await fetch(`${app.urls.management}/metrics`)).text()
  before(async () => {
    const environment = {
      CASTELLAN_HTTP_PORT: '0',
      CASTELLAN_ADVANCED_HTTP_MAX_EVENT_LOOP_DELAY_MS: '0',
      CASTELLAN_MANAGEMENT_PORT: '0',
      CASTELLAN_WAL_DIRECTORY: walDirectoryOf('apps'),
      CASTELLAN_EMBEDDED_PORT: '0'
    }
    app = await startApp(loadConfig({ environment }), { log: silentLogger, version: '0' })
    atStart = await scrape()
    while ((await fetch(`${app.urls.management}/ready/kafka`)).status !== 200) await new Promise(setImmediate)
    await fetch(`${app.urls.shared}/kprf/push`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"records":[{"topic":"orders","data":"x"}],"wait_for_send":true}'
    }).then(answer => answer.text())
    const text = await scrape()
    const page = readFileSync('docs/metrics.md', 'utf8')
    const documented = [...page.matchAll(/^\| `(castellan_\w+)` \|/gm)].map(([, name]) => name!)
    exported = new Set([...text.matchAll(/^# TYPE (\w+)/gm)].map(([, name]) => name!).concat(documented))
  })
  after(() => app.stop())

  const isExported = (name: string): boolean =>
    exported.has(name) || exported.has(name.replace(/_(bucket|sum|count)$/, ''))

  it('are in the rules under names that are exported', () => {
    for (const { alert, expr, annotations } of rules()) {
      const names = metricsIn(expr)
      expect(annotations.summary, alert).to.be.a('string')
      if (alert !== 'CastellanDown') expect(names, alert).to.not.be.empty
      expect(
        names.filter(name => !isExported(name)),
        alert
      ).to.deep.equal([])
    }
    expect(rules().length).to.be.greaterThan(8)
  })

  it('say in words what their expressions say', () => {
    for (const { alert, expr, annotations } of rules()) {
      const [, share] = />\s*(0\.\d+)\s*$/.exec(expr) ?? []
      const [, percent] = /more than (\d+) %/.exec(annotations.summary) ?? []
      if (percent !== undefined) expect(Number(percent), alert).to.equal(Math.round(Number(share) * 100))
      const isAboutLog = /castellan_(wal|durable)_/.test(expr)
      expect(isAboutLog === /durable log|for good/.test(annotations.summary), alert).to.equal(true)
    }
  })

  it('notice the first event: of a counter that begins with it, an increase alone would not tell', () => {
    for (const { alert, expr } of rules()) {
      for (const [, name] of expr.matchAll(/increase\((\w+)/g)) {
        const isThere = new RegExp(`^${name}(?:\\{.*\\})? 0$`, 'm').test(atStart)
        expect(isThere || expr.includes(`${name} unless ${name} offset`), `${alert}: ${name}`).to.equal(true)
      }
    }
  })

  it('notice the first record that an API refuses, whatever the reason', () => {
    for (const api of ['kprf', 'kafboy', 'arion', 'kafka-pixy', 'confluent', 'strimzi', 'cloudevents']) {
      const absent = Object.keys(statusByCode).filter(
        reason => !atStart.includes(`\ncastellan_refused_records_total{api="${api}",reason="${reason}"} 0\n`)
      )
      expect(absent, api).to.deep.equal([])
    }
  })

  it('are explained where they are scraped', () => {
    const unexplained = [...atStart.matchAll(/^# HELP (castellan_\w+) (\w+ of \w+)$/gm)].map(([, name]) => name)
    expect(unexplained).to.deep.equal([])
  })

  it('are in the dashboard under names that are exported', () => {
    for (const { title, targets } of dashboard().panels) {
      for (const { expr } of targets) {
        expect(metricsIn(expr), title).to.not.be.empty
        expect(
          metricsIn(expr).filter(name => !isExported(name)),
          title
        ).to.deep.equal([])
      }
    }
  })

  it('have a panel of the dashboard each', () => {
    const shown = new Set(dashboard().panels.flatMap(({ targets }) => targets.flatMap(({ expr }) => metricsIn(expr))))
    for (const { alert, expr } of rules()) {
      expect(
        metricsIn(expr).filter(name => !shown.has(name)),
        alert
      ).to.deep.equal([])
    }
  })

  it('are told apart by instance in the dashboard', () => {
    for (const { title, targets } of dashboard().panels) {
      for (const { expr, legendFormat } of targets) {
        expect(legendFormat, title).to.contain('{{instance}}')
        const selectors = [...expr.matchAll(/\b(?:castellan|process|nodejs)_\w+\{([^}]*)\}/g)].map(
          ([, labels]) => labels
        )
        expect(selectors, title).to.have.length(metricsIn(expr).length)
        for (const labels of selectors) expect(labels, title).to.contain('instance=~"$instance"')
        for (const [, by] of expr.matchAll(/\bby \(([^)]*)\)/g)) expect(by, title).to.match(/^instance\b/)
        expect(/\b(?:sum|max|min)\b(?! by)/.test(expr), title).to.equal(false)
      }
    }
  })

  it('time requests that produce apart from long polls', () => {
    const timed = dashboard().panels.flatMap(({ targets }) =>
      targets.map(({ expr }) => expr).filter(expr => expr.includes('castellan_http_request_seconds_bucket'))
    )
    expect(timed.map(expr => /method="(\w+)"/.exec(expr)?.[1]).toSorted()).to.deep.equal(['GET', 'POST'])
  })

  it('exist from the start with 0', () => {
    const values = (name: string): string[] =>
      [...atStart.matchAll(new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`, 'gm'))].map(([, value]) => value!)
    const zeros = [
      'castellan_delivery_delivered_records_total',
      'castellan_delivery_failed_records_total',
      'castellan_delivery_refused_records_total',
      'castellan_delivery_withdrawn_records_total',
      'castellan_delivery_retried_batches_total',
      'castellan_delivery_buffered_bytes',
      'castellan_delivery_oldest_record_age_seconds',
      'castellan_router_retries_total',
      'castellan_router_timeouts_sent_total',
      'castellan_router_unexpected_failures_total',
      'castellan_router_cluster_changes_total',
      'castellan_groups_failed_commits_total',
      'castellan_groups_given_up_messages_total',
      'castellan_groups_skipped_batches_total',
      'castellan_groups_exclusions_total',
      'castellan_groups_unexpected_failures_total',
      'castellan_durable_dead_lettered_records_total',
      'castellan_wal_dead_letters'
    ]
    for (const name of zeros) {
      expect(values(name), name).to.not.be.empty
      expect(new Set(values(name)), name).to.deep.equal(new Set(['0']))
    }
    expect(values('castellan_delivery_buffer_limit_bytes')).to.deep.equal([String(64 * 1024 * 1024)])
  })

  it('tell whether it is ready and how many brokers are up', async () => {
    const text = await scrape()
    expect(text).to.match(/^castellan_ready 1$/m)
    expect(text).to.match(/^castellan_cluster_ready\{cluster="default"\} 1$/m)
    expect(text).to.match(/^castellan_cluster_brokers_up\{cluster="default"\} 1$/m)
    expect(text).to.match(/^castellan_cluster_brokers_known\{cluster="default"\} 1$/m)
  })

  it('tell brokers of one host apart', async () => {
    expect(await scrape()).to.match(
      /^castellan_kafka_dispatcher_fetches_total\{broker_host="127\.0\.0\.1",broker_port="\d+",broker_id="\d+"\} 0$/m
    )
  })
})
