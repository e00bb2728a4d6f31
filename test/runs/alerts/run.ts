import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { stringify } from 'yaml'
import { type Case, cases } from './cases.js'
import { alertRules, RULES_FILE } from './rules.js'

/** `npm run test:alerts`: the alert rules against recordings of real trouble, by promtool. */

const EVALUATED_EVERY = '5s'
/** Longer than any recording. */
const EVER = '3h'

/** Which alerts have fired at any time, and no other. */
const promtoolTest = ({ name, about, intervalSeconds, seconds, series, fires }: Case) => ({
  name: `${name}: ${about}`,
  interval: `${intervalSeconds}s`,
  input_series: Object.entries(series).map(([of, values]) => ({ series: withInstance(of), values })),
  promql_expr_test: [
    {
      expr: `group by (alertname) (count_over_time(ALERTS{alertstate="firing"}[${EVER}]))`,
      eval_time: `${seconds}s`,
      exp_samples: fires.map(alert => ({ labels: `{alertname="${alert}"}`, value: 1 }))
    }
  ]
})

/** `up` => `up{instance="…",job="castellan"}` */
function withInstance(series: string): string {
  const [, name, labels = ''] = /^(\w+)(?:\{(.*)\})?$/.exec(series)!
  return `${name}{${[labels, 'instance="gateway:8081"', 'job="castellan"'].filter(Boolean).join(',')}}`
}

function run(): number {
  if (spawnSync('promtool', ['--version']).error !== undefined) {
    console.log("promtool is missing: it is in Debian's package prometheus. Nothing was tested.\n0 passing\n1 failing")
    return 1
  }
  const untested = alertRules().filter(({ alert }) => !cases().some(({ fires }) => fires.includes(alert)))
  for (const { alert } of untested) console.log(`no case in which ${alert} fires`)
  const directory = mkdtempSync(join(tmpdir(), 'castellan-alerts-'))
  let failed = untested.length
  let passed = 0
  try {
    for (const one of cases()) {
      const file = join(directory, `${one.name}.yaml`)
      const test = {
        rule_files: [resolve(RULES_FILE)],
        evaluation_interval: EVALUATED_EVERY,
        tests: [promtoolTest(one)]
      }
      writeFileSync(file, stringify(test))
      const { status, stdout, stderr } = spawnSync('promtool', ['test', 'rules', file], { encoding: 'utf8' })
      if (status === 0) {
        passed++
        console.log(`ok      ${one.name}: ${one.fires.join(', ') || 'none fires'}`)
      } else {
        failed++
        console.log(`FAILED  ${one.name}\n${stdout}${stderr}`)
      }
    }
  } finally {
    rmSync(directory, { recursive: true })
  }
  console.log(`\n${passed} passing\n${failed} failing`)
  return failed > 0 ? 1 : 0
}

process.exitCode = run()
