/** What the operator relies on in the agents' metrics: bounds that its queries name. */

/** Upper bounds, in seconds, of one engine action: from a statement that is answered at once to a clone. */
export const ACTION_BOUNDS_SECONDS = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3, 6, 9, 15, 30, 60,
];

/** Upper bounds, in seconds, of one write of the Lease. */
export const LEASE_BOUNDS_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1];
