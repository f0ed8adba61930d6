-- Rows of PostgreSQL lie in the order in which they were stored: there is nothing to be done.
SELECT 1;
