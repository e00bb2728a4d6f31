import { readFileSync } from 'node:fs'
import { parse } from 'yaml'

export interface Rule {
  readonly alert: string
  readonly expr: string
  readonly for?: string
  readonly labels: { readonly severity: string }
  readonly annotations: { readonly summary: string }
}

export const RULES_FILE = 'docs/prometheus-rules.yaml'

/** The alerts of docs/prometheus-rules.yaml. */
export const alertRules = (): Rule[] =>
  (parse(readFileSync(RULES_FILE, 'utf8')) as { groups: { rules: Rule[] }[] }).groups.flatMap(group => group.rules)

/** Names of metrics in an expression. */
export const metricsIn = (expression: string): string[] =>
  [...expression.matchAll(/\b(?:castellan|process|nodejs)_\w+/g)].map(([name]) => name)
