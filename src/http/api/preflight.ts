import type { FastifyInstance, FastifyRequest } from 'fastify'

/** What an API says of itself to browsers that ask whether a page may send a request. */
export interface PreflightAnswer {
  /** `GET,POST` */
  readonly methods: string
  /** Names of headers, separated by commas. */
  readonly headers: string
}

/** Answers all preflights of a scope alike. By default any usual method is named, and each header that is asked for. */
export function answerPreflights(scope: FastifyInstance, answer: PreflightAnswer): void {
  scope.decorateRequest('preflight', { getter: () => answer })
}

/** What {@link answerPreflights} has set for the scope of a request. */
export const preflightOf = (request: FastifyRequest): PreflightAnswer | undefined =>
  (request as { preflight?: PreflightAnswer }).preflight
